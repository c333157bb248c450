//! Certificates with their keys: read, checked, and chosen by the name that the client asks for.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use crate::error::TlsError;

/// PEM text, or the file that it is in. A file is read whenever the configuration is built.
#[derive(Clone)]
pub(crate) enum Text {
    Given(Vec<u8>),
    File(PathBuf),
}

/// Without the text, which may be a private key.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(text) => write!(f, "Given({} bytes)", text.len()),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Text {
    pub(crate) fn read(&self) -> Result<Vec<u8>, TlsError> {
        match self {
            Self::Given(text) => Ok(text.clone()),
            Self::File(path) => fs::read(path).map_err(|error| TlsError::File { path: path.clone(), error }),
        }
    }

    /// Where it comes from, for messages.
    pub(crate) fn place(&self, number: usize) -> String {
        match self {
            Self::Given(_) => format!("certificate {number}"),
            Self::File(path) => path.display().to_string(),
        }
    }
}

/// All certificates of a PEM text, at least one.
pub(crate) fn certificates(text: &[u8], place: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |reason: String| TlsError::Pem { what: format!("{place}, certificates"), reason };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|error| bad(format!("not valid PEM: {error:?}")))?;
    if chain.is_empty() {
        return Err(bad("there is no CERTIFICATE section".to_owned()));
    }
    Ok(chain)
}

/// Reads a chain, the server's own certificate first, and its key; checks that they belong together.
pub(crate) fn certified(
    (chain, key): (&Text, &Text),
    number: usize,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let place = chain.place(number);
    let chain = certificates(&chain.read()?, &place)?;
    let key_place = key.place(number);
    let key = PrivateKeyDer::from_pem_slice(&key.read()?).map_err(|error| TlsError::Pem {
        what: format!("{key_place}, private key"),
        reason: format!("no usable PRIVATE KEY section: {error:?}"),
    })?;
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| TlsError::Certificate { what: format!("{place} with {key_place}"), reason: error.to_string() })
}

/// Chooses a certificate by the server name that the client asks for (RFC 6066 §3).
#[derive(Debug)]
pub(crate) struct ByName {
    /// In the order of the configuration; the first one is for clients that name no server, or an unknown one.
    all: Vec<Arc<CertifiedKey>>,
    /// Lower-case names, with a `*` for the first label of a wildcard.
    names: HashMap<String, Vec<usize>>,
}

impl ByName {
    pub(crate) fn new(all: Vec<CertifiedKey>) -> Result<Self, TlsError> {
        let mut names: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, certified) in all.iter().enumerate() {
            let bad = |reason: String| TlsError::Certificate { what: format!("certificate {}", at + 1), reason };
            let end_entity = certified.end_entity_cert().map_err(|error| bad(error.to_string()))?;
            let parsed = EndEntityCert::try_from(end_entity).map_err(|error| bad(error.to_string()))?;
            for name in parsed.valid_dns_names() {
                names.entry(name.to_ascii_lowercase()).or_default().push(at);
            }
        }
        Ok(Self { all: all.into_iter().map(Arc::new).collect(), names })
    }

    /// The certificates for a name: those for exactly that name before those with a wildcard.
    fn candidates(&self, name: &str) -> impl Iterator<Item = &Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let listed = [Some(name), wildcard].into_iter().flatten().filter_map(|name| self.names.get(&name));
        listed.flatten().filter_map(|at| self.all.get(*at))
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // A server may have an RSA and an ECDSA certificate for one name: the client must know the algorithm.
        let usable = |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(hello.signature_schemes()).is_some();
        let named = hello.server_name().and_then(|name| self.candidates(name).find(usable));
        named.or_else(|| self.all.iter().find(usable)).or_else(|| self.all.first()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(names: &[&str]) -> CertifiedKey {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let (chain, key) = (Text::Given(made.cert.pem().into()), Text::Given(made.signing_key.serialize_pem().into()));
        certified((&chain, &key), 1, &rustls::crypto::ring::default_provider()).unwrap()
    }

    #[test]
    fn a_certificate_is_chosen_by_the_exact_name_then_by_a_wildcard() {
        let all = [made(&["a.example"]), made(&["*.b.example", "B.example"]), made(&["x.b.example"])];
        let by_name = ByName::new(all.into()).unwrap();
        let rows: [(&str, &[usize]); 8] = [
            ("a.example", &[0]),
            ("A.EXAMPLE", &[0]),
            ("b.example", &[1]),
            ("y.b.example", &[1]),
            ("x.b.example", &[2, 1]),
            ("z.y.b.example", &[]),
            ("example", &[]),
            ("", &[]),
        ];
        for (name, expected) in rows {
            let found: Vec<_> = by_name.candidates(name).collect();
            let expected: Vec<_> = expected.iter().map(|at| &by_name.all[*at]).collect();
            assert!(
                found.iter().zip(&expected).all(|(a, b)| Arc::ptr_eq(a, b)) && found.len() == expected.len(),
                "{name}"
            );
        }
    }
}
