//! Event bodies as JSON, in protobuf's own JSON mapping.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

use crate::DESCRIPTOR_SET;

/// Why a body could not be translated.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The contract has no such message.
    #[error("the contract has no message {0}")]
    Unknown(String),
    /// The bytes are no such message.
    #[error("not an encoded {message}: {source}")]
    Decode {
        /// Full name of the message.
        message: String,
        /// What is wrong with the bytes.
        source: prost::DecodeError,
    },
    /// The text is no such message.
    #[error("not a {message} as JSON: {source}")]
    Parse {
        /// Full name of the message.
        message: String,
        /// What is wrong with the text.
        source: serde_json::Error,
    },
}

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTOR_SET).ok());

fn descriptor(message: &str) -> Result<prost_reflect::MessageDescriptor, JsonError> {
    POOL.as_ref()
        .and_then(|pool| pool.get_message_by_name(message))
        .ok_or_else(|| JsonError::Unknown(message.to_owned()))
}

/// Writes an encoded message of the type `message` (such as `quench.v1.PackageEvent`) as JSON.
///
/// # Errors
/// When the contract has no such message or `encoded` is none.
pub fn from_encoded(message: &str, encoded: &[u8]) -> Result<Vec<u8>, JsonError> {
    let dynamic = DynamicMessage::decode(descriptor(message)?, encoded).map_err(|source| {
        JsonError::Decode {
            message: message.to_owned(),
            source,
        }
    })?;
    serde_json::to_vec(&dynamic).map_err(|source| JsonError::Parse {
        message: message.to_owned(),
        source,
    })
}

/// Reads JSON as a message of the type `message` and encodes it.
///
/// # Errors
/// When the contract has no such message or `text` is none.
pub fn to_encoded(message: &str, text: &[u8]) -> Result<Vec<u8>, JsonError> {
    let parse = |source| JsonError::Parse {
        message: message.to_owned(),
        source,
    };
    let mut reader = serde_json::Deserializer::from_slice(text);
    let dynamic = DynamicMessage::deserialize(descriptor(message)?, &mut reader).map_err(parse)?;
    reader.end().map_err(parse)?;
    Ok(dynamic.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Level, PackageEvent};

    #[test]
    fn json_and_protobuf_say_the_same() {
        let event = PackageEvent {
            package: "demo".into(),
            level: Level::Secured.into(),
            run: vec![1, 2, 3].into(),
            ..PackageEvent::default()
        };
        let json = from_encoded("quench.v1.PackageEvent", &event.encode_to_vec()).unwrap();
        assert_eq!(
            String::from_utf8(json.clone()).unwrap(),
            r#"{"package":"demo","level":"LEVEL_SECURED","run":"AQID"}"#
        );
        let encoded = to_encoded("quench.v1.PackageEvent", &json).unwrap();
        assert_eq!(PackageEvent::decode(encoded.as_slice()).unwrap(), event);
        assert!(to_encoded("quench.v1.PackageEvent", b"{\"nonsense\":1}").is_err());
    }
}
