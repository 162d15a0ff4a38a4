//! Keys in every form that is read, against OpenSSL and a key in cosign's form made with PyNaCl.

use quench_package::signing::{Algorithm, KeyError, PublicKey, SigningKey, read_private_key};
use zeroize::Zeroizing;

use crate::made::{file, key, openssl};

/// Made from the format's specification with PyNaCl (secretbox) and Python's `hashlib.scrypt`; the passphrase is
/// `correct horse`.
const SEALED: &str = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjozMjc2OCwiciI6
OCwicCI6MX0sInNhbHQiOiJZMGVhMXBvSkN5V0NkK3lQdW0rWlFab3YreVNKZ1ZF
R1Y4bEV6TkVVanBjPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJlRGQ3VWxkWHRKUkNmNGtCVDVmWG1TanprNDBVNjFIaSJ9LCJj
aXBoZXJ0ZXh0IjoiWGJaZ2RHdS9QdGpacVJ6THhmV3J5NWlEVEpSeWk3RTJTWnFI
VTAzaWxKYzJFSlE5NVhOSk1zbzJrSktEdjBac1pWeHRQMHNMa1l1QjhiSm9xeE1v
Y1lJWGtveEYyNWg4blptajdudzF3ZWdsTnZMY1EvQ3VkUGFGQlZpb2luM3ViN2JO
c3lPeDZMbEZrWlZNWFAvSU55UEYzOGVLaHkxajdUbWZDdEZvOGZJN3JYRjhxaGds
OW1FSUNCdlBJcXZkS2JpVlZzY3k1OHJFU3c9PSJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----
";
const SEALED_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEHtJBBIZR/tcWsla8++BOY2PSlT4o
C0nyCdgVPdGlaNfC0HXAWRylWrG0sBbYUgGxWW6+UYDh2HuY9C4x4P+jKQ==
-----END PUBLIC KEY-----
";

fn read(pem: &str, passphrase: &str) -> Result<SigningKey, KeyError> {
    read_private_key(pem, "the key", || {
        Ok::<_, KeyError>(Zeroizing::new(passphrase.to_owned()))
    })
}

fn unasked(pem: &str) -> Result<SigningKey, KeyError> {
    read_private_key(pem, "the key", || -> Result<Zeroizing<String>, KeyError> {
        panic!("a key without a passphrase asked for one")
    })
}

#[test]
fn keys_come_back_as_they_were_written_and_openssl_reads_them() {
    for algorithm in [Algorithm::EcdsaP256, Algorithm::Ed25519] {
        let folder = tempfile::tempdir().unwrap();
        let key = key(algorithm);
        let public = key.public().unwrap();
        let plain = key.to_pem(None).unwrap();
        let sealed = key.to_pem(Some(b"correct horse")).unwrap();
        assert!(plain.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert!(sealed.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        for read in [unasked(&plain), read(&sealed, "correct horse")] {
            assert_eq!(read.unwrap().public().unwrap(), public);
        }
        let error = read(&sealed, "wrong").unwrap_err();
        assert_eq!(error, KeyError::WrongPassphrase("the key".to_owned()));
        let pem = public.to_pem().unwrap();
        let again = PublicKey::from_pem(&pem, "the key").unwrap();
        assert_eq!((again.id(), again.algorithm()), (public.id(), algorithm));

        let private_file = file(&folder, "sealed.key", sealed.as_bytes());
        let out = folder.path().join("out.pub").display().to_string();
        let arguments = [
            "pkey",
            "-in",
            &private_file,
            "-passin",
            "pass:correct horse",
            "-pubout",
            "-out",
            &out,
        ];
        if let Some(done) = openssl("keys_come_back_as_they_were_written", &arguments) {
            assert!(done, "openssl does not open the key");
            assert_eq!(std::fs::read_to_string(&out).unwrap(), pem);
        }
    }
}

#[test]
fn a_key_that_openssl_made_signs() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("ec.key").display().to_string();
    let test = "a_key_that_openssl_made_signs";
    // SEC 1 form, and with its curve's parameters before it, as `ecparam` writes by default.
    let arguments = [
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
        &made,
    ];
    if openssl(test, &arguments).is_none() {
        return;
    }
    let pem = std::fs::read_to_string(&made).unwrap();
    assert!(pem.starts_with("-----BEGIN EC PRIVATE KEY-----"));
    let key = unasked(&pem).unwrap();
    assert!(key.public().unwrap().verify(b"text", &key.sign(b"text")));
    // A curve that cosign knows but Quench does not use is named as such, not guessed at.
    let arguments = [
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
        "-out",
        &made,
    ];
    assert_eq!(openssl(test, &arguments), Some(true));
    let error = unasked(&std::fs::read_to_string(&made).unwrap()).unwrap_err();
    assert!(
        error.to_string().contains("neither an ECDSA P-256 nor"),
        "{error}"
    );
}

#[test]
fn a_key_in_the_form_of_cosign_opens_with_its_passphrase_only() {
    let key = read(SEALED, "correct horse").unwrap();
    let public = PublicKey::from_pem(SEALED_PUBLIC, "the key").unwrap();
    assert_eq!(key.public().unwrap(), public);
    assert!(public.verify(b"text", &key.sign(b"text")));
    let error = read(SEALED, "correct horses").unwrap_err();
    assert_eq!(error, KeyError::WrongPassphrase("the key".to_owned()));
    let older = SEALED.replace("SIGSTORE", "COSIGN");
    assert!(read(&older, "correct horse").is_ok());
}

#[test]
fn what_is_no_key_is_refused_by_name() {
    use base64::Engine as _;
    let sealed = |json: &str| {
        let body = base64::engine::general_purpose::STANDARD.encode(json);
        format!(
            "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n{body}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n"
        )
    };
    let costly = sealed(
        r#"{"kdf":{"name":"scrypt","params":{"N":1073741824,"r":8,"p":1},"salt":""},"cipher":{"name":"nacl/secretbox","nonce":""},"ciphertext":""}"#,
    );
    let foreign = sealed(
        r#"{"kdf":{"name":"argon2","params":{"N":2,"r":8,"p":1},"salt":""},"cipher":{"name":"x","nonce":""},"ciphertext":""}"#,
    );
    for (pem, reason) in [
        ("", "not PEM"),
        ("no key", "not PEM"),
        (SEALED_PUBLIC, "holds a public key"),
        (costly.as_str(), "too costly"),
        (foreign.as_str(), "argon2"),
    ] {
        let error = read(pem, "").unwrap_err().to_string();
        assert!(
            error.contains("the key") && error.contains(reason),
            "{error}"
        );
    }
    let error = PublicKey::from_pem(SEALED, "the key")
        .unwrap_err()
        .to_string();
    assert!(error.contains("private key"), "{error}");
}

#[test]
fn private_keys_are_never_printed() {
    let key = key(Algorithm::Ed25519);
    assert_eq!(format!("{key:?}"), "SigningKey(ed25519, …)");
}
