//! What a server's TLS consists of, and how it is replaced while the server runs.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, version};

use crate::certificates::{ByName, Text, certificates, certified};
use crate::error::TlsError;

/// Certificates, keys and rules of a server. Clones share them: [`reload`](Self::reload) and [`replace`](Self::replace) on
/// one act on all servers and workers that use it, for connections that are accepted afterwards.
///
/// TLS 1.2 and 1.3 with the cipher suites of rustls, all of them with forward secrecy; ALPN `http/1.1`; resumption by
/// tickets, whose keys are made anew by every reload, and shared by all workers; no early data, because it can be
/// replayed.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    current: RwLock<Arc<ServerConfig>>,
    /// What to build again on a reload; `None` for a configuration of rustls.
    recipe: Option<TlsBuilder>,
    tally: Tally,
}

impl TlsConfig {
    /// One certificate, from PEM texts: the chain, the server's own certificate first, and its private key.
    ///
    /// # Errors
    /// As [`TlsBuilder::build`].
    pub fn from_pem(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        Self::builder().certificate(chain, key).build()
    }

    /// One certificate, from PEM files; [`reload`](Self::reload) reads them again.
    ///
    /// # Errors
    /// As [`TlsBuilder::build`].
    pub fn from_files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        Self::builder().certificate_files(chain, key).build()
    }

    /// Several certificates, certificates of clients, and so on.
    pub fn builder() -> TlsBuilder {
        TlsBuilder::default()
    }

    /// A configuration of rustls as it is, for everything that [`TlsBuilder`] lacks: another provider, revocation lists, a
    /// certificate from elsewhere. Set `alpn_protocols` to `http/1.1`, and leave `max_early_data_size` at 0: early data is
    /// never read.
    #[must_use]
    pub fn from_rustls(config: Arc<ServerConfig>) -> Self {
        Self::new(config, None)
    }

    fn new(config: Arc<ServerConfig>, recipe: Option<TlsBuilder>) -> Self {
        let shared = Shared { current: RwLock::new(config), recipe, tally: Tally::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Reads all files again, and uses what is in them for connections that are accepted from now on. Sessions of before
    /// are not resumed. Call it when a certificate was renewed, from any thread; it blocks for as long as reading takes.
    ///
    /// # Errors
    /// As [`TlsBuilder::build`], and [`TlsError::NothingToReload`] after [`from_rustls`](Self::from_rustls). The
    /// configuration then stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let recipe = self.shared.recipe.as_ref().ok_or(TlsError::NothingToReload)?;
        self.replace(recipe.server_config()?);
        Ok(())
    }

    /// Uses a configuration of rustls for connections that are accepted from now on.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        *self.shared.current.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// How handshakes have ended so far.
    #[must_use]
    pub fn counters(&self) -> TlsCounters {
        let Tally { completed, resumed, failed } = &self.shared.tally;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TlsCounters { completed: read(completed), resumed: read(resumed), failed: read(failed) }
    }

    /// For a new connection.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.shared.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.shared.tally
    }
}

/// The handshakes of all servers that share a [`TlsConfig`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct TlsCounters {
    /// Complete ones.
    pub completed: u64,
    /// Those among them that resumed an earlier session.
    pub resumed: u64,
    /// Failed ones: garbage, no protocol or cipher in common, a refused certificate, a client that left. Not those that a
    /// deadline has ended.
    pub failed: u64,
}

/// What [`TlsCounters`] is read from.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    completed: AtomicU64,
    resumed: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    pub(crate) fn completed(&self, is_resumed: bool) {
        self.completed.fetch_add(1, Ordering::Relaxed);
        self.resumed.fetch_add(u64::from(is_resumed), Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientCertificates {
    /// A client without one cannot connect.
    Required,
    /// A client without one can connect, and [`Security::certificate`](aurora_http_core::reactor::Security::certificate)
    /// is `None`. One with a certificate that does not verify cannot.
    Optional,
}

/// Builds a [`TlsConfig`].
///
/// ```
/// use aurora_http_tls::{ClientCertificates, TlsConfig};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let [one, two] = ["one.example", "*.two.example"].map(|name| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap());
/// # let ((one, one_key), (two, two_key)) = (
/// #     (one.cert.pem(), one.signing_key.serialize_pem()),
/// #     (two.cert.pem(), two.signing_key.serialize_pem()),
/// # );
/// # let authority = &one;
/// let config = TlsConfig::builder()
///     .certificate(&one, &one_key) // for one.example, and for clients that name no server
///     .certificate(&two, &two_key) // for *.two.example
///     .client_certificates(authority, ClientCertificates::Optional)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "it has no effect before `build`"]
pub struct TlsBuilder {
    certificates: Vec<(Text, Text)>,
    clients: Option<(Text, bool)>,
    only_1_3: bool,
}

impl TlsBuilder {
    /// Adds a certificate, from PEM texts: the chain, the server's own certificate first, and its private key (PKCS#8,
    /// PKCS#1 or SEC1). A client gets the certificate for the server name that it asks for; the first one is for all
    /// others.
    pub fn certificate(mut self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.certificates.push((Text::Given(chain.as_ref().into()), Text::Given(key.as_ref().into())));
        self
    }

    /// Adds a certificate, from PEM files.
    pub fn certificate_files(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificates.push((Text::File(chain.into()), Text::File(key.into())));
        self
    }

    /// Asks clients for a certificate, which must be signed by one of these authorities: a PEM text.
    pub fn client_certificates(mut self, authorities: impl AsRef<[u8]>, which: ClientCertificates) -> Self {
        self.clients = Some((Text::Given(authorities.as_ref().into()), which == ClientCertificates::Required));
        self
    }

    /// As [`client_certificates`](Self::client_certificates), from a PEM file.
    pub fn client_certificates_file(mut self, authorities: impl Into<PathBuf>, which: ClientCertificates) -> Self {
        self.clients = Some((Text::File(authorities.into()), which == ClientCertificates::Required));
        self
    }

    /// Whether to refuse TLS 1.2. Off by default.
    pub fn only_tls_1_3(mut self, only: bool) -> Self {
        self.only_1_3 = only;
        self
    }

    /// Reads and checks everything.
    ///
    /// # Errors
    /// A [`TlsError`] that names the file or the certificate, and says what is wrong: it cannot be read, it is not PEM, the
    /// key belongs to another certificate.
    pub fn build(self) -> Result<TlsConfig, TlsError> {
        Ok(TlsConfig::new(self.server_config()?, Some(self)))
    }

    fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        if self.certificates.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let provider = Arc::new(ring::default_provider());
        let numbered = self.certificates.iter().enumerate();
        let all = numbered.map(|(at, (chain, key))| certified((chain, key), at + 1, &provider));
        let resolver = ByName::new(all.collect::<Result<_, _>>()?)?;
        let versions: &[_] = if self.only_1_3 { &[&version::TLS13] } else { &[&version::TLS13, &version::TLS12] };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(versions).map_err(TlsError::Rustls)?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some((authorities, is_required)) => {
                builder.with_client_cert_verifier(verifier(authorities, *is_required, provider)?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = ring::Ticketer::new().map_err(TlsError::Rustls)?;
        Ok(Arc::new(config))
    }
}

fn verifier(
    authorities: &Text,
    is_required: bool,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let bad = |reason: String| TlsError::ClientAuthorities { reason };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&authorities.read()?, "the authorities of client certificates")? {
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if is_required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| bad(error.to_string()))
}
