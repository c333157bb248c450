//! Why a configuration cannot be used.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why certificates or keys cannot be used. A configuration that was in use before stays in use.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What should be in PEM is not.
    Pem {
        /// What was looked for, and where.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// No certificate was given.
    NoCertificate,
    /// A certificate and a key are each readable, but cannot be used, or not together.
    Certificate {
        /// Which one.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// The certificates of the authorities that sign those of clients cannot be used.
    ClientAuthorities {
        /// What is wrong.
        reason: String,
    },
    /// The configuration was made from one of rustls, so there are no files to read again.
    NothingToReload,
    /// rustls refuses the configuration.
    Rustls(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Pem { what, reason } => write!(f, "{what}: {reason}"),
            Self::NoCertificate => f.write_str("there is no certificate: give one, with its key"),
            Self::Certificate { what, reason } => write!(f, "{what}: {reason}"),
            Self::ClientAuthorities { reason } => write!(f, "the authorities of client certificates: {reason}"),
            Self::NothingToReload => {
                f.write_str("the configuration was not made from files: use `replace` with a new configuration")
            }
            Self::Rustls(error) => write!(f, "rustls: {error}"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { error, .. } => Some(error),
            Self::Rustls(error) => Some(error),
            _ => None,
        }
    }
}
