//! What a service has to tell, kept in the content store.
//!
//! The bus may lose what it acknowledged (its store is not synced to disk at every write). So a service first writes down
//! what it is going to tell, then tells it. What lies here and is not in the stream is told again, byte for byte.

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use quench_content::artefact::Manifest;
use quench_content::{RefName, Store, StoreError};
use quench_proto::v1::{FindingEvent, PackageEvent};

/// Artefact type of a record.
const RECORD: &str = "application/vnd.quench.event.v1";
/// Media type of its layers.
const PROTOBUF: &str = "application/protobuf";
/// Most bytes of a record's findings: a hundred thousand of a few kilobytes.
const LIMIT: u64 = 512 << 20;

/// The records of one kind of event: the name of a level, or `submitted`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    store: Store,
    prefix: String,
}

/// What is told in one go.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// The event.
    pub event: PackageEvent,
    /// Findings that changed.
    pub findings: Vec<FindingEvent>,
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record is not what it should be.
    #[error("record {name} in {place} cannot be read: {reason}")]
    Malformed {
        /// Name of the record.
        name: String,
        /// Where it is.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Outbox {
    /// Records of the kind `kind` in `store`.
    pub fn new(store: &Store, kind: &str) -> Self {
        Self {
            store: store.clone(),
            prefix: format!("event-{kind}-"),
        }
    }

    /// Writes down what is going to be told of a package, in place of what was told of it before.
    ///
    /// # Errors
    /// When the store refuses, or the package's name cannot be a reference.
    pub async fn write(&self, told: &Told) -> Result<(), OutboxError> {
        let name = self.name(&told.event.package)?;
        let event = self
            .store
            .put(PROTOBUF, &told.event.encode_to_vec())
            .await?;
        let mut findings = BytesMut::new();
        for finding in &told.findings {
            finding
                .encode_length_delimited(&mut findings)
                .map_err(|error| self.malformed(name.as_str(), error.to_string()))?;
        }
        let findings = self.store.put(PROTOBUF, &findings).await?;
        let record = self
            .store
            .put_manifest(&Manifest::artefact(RECORD, vec![event, findings]))
            .await?;
        Ok(self.store.tag(&name, &record).await?)
    }

    /// What was last written down of a package.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read(&self, package: &str) -> Result<Option<Told>, OutboxError> {
        self.record(&self.name(package)?).await
    }

    /// The names of all records.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn records(&self) -> Result<Vec<RefName>, OutboxError> {
        Ok(self.store.names(&self.prefix).await?)
    }

    /// A record by its name.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn record(&self, name: &RefName) -> Result<Option<Told>, OutboxError> {
        let Some(descriptor) = self.store.resolve(name).await? else {
            return Ok(None);
        };
        let manifest = self.store.manifest(&descriptor).await?;
        let malformed = |reason: &str| self.malformed(name.as_str(), reason.to_owned());
        let [event, findings] = manifest.layers.as_slice() else {
            return Err(malformed("it has not two layers"));
        };
        let event = self.store.read(event, LIMIT).await?;
        let event = PackageEvent::decode(event.as_slice())
            .map_err(|error| malformed(&error.to_string()))?;
        let mut rest = Bytes::from(self.store.read(findings, LIMIT).await?);
        let mut findings = Vec::new();
        while rest.has_remaining() {
            findings.push(
                FindingEvent::decode_length_delimited(&mut rest)
                    .map_err(|error| malformed(&error.to_string()))?,
            );
        }
        Ok(Some(Told { event, findings }))
    }

    fn name(&self, package: &str) -> Result<RefName, OutboxError> {
        format!("{}{package}", self.prefix).parse().map_err(
            |error: quench_content::RefNameError| self.malformed(package, error.to_string()),
        )
    }

    fn malformed(&self, name: &str, reason: String) -> OutboxError {
        OutboxError::Malformed {
            name: name.to_owned(),
            place: self.store.place(),
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use quench_content::DirectoryStore;

    use super::*;

    #[tokio::test]
    async fn what_was_written_is_read_byte_for_byte() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::Directory(DirectoryStore::open(folder.path()).unwrap());
        let outbox = Outbox::new(&store, "secured");
        assert_eq!(outbox.read("demo").await.unwrap(), None);
        let mut told = Told {
            event: PackageEvent {
                package: "demo".into(),
                run: vec![9, 9].into(),
                ..PackageEvent::default()
            },
            findings: vec![FindingEvent::default(); 3],
        };
        told.findings[1].title = "second".into();
        outbox.write(&told).await.unwrap();
        assert_eq!(outbox.read("demo").await.unwrap().as_ref(), Some(&told));
        assert_eq!(outbox.records().await.unwrap().len(), 1);
        assert!(
            Outbox::new(&store, "operable")
                .records()
                .await
                .unwrap()
                .is_empty()
        );
        assert!(outbox.read("../x").await.is_err());
    }
}
