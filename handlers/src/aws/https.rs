//! HTTPS for requests without an AWS client: error reports, and the keys of an issuer.

use std::sync::Arc;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

/// TLS as the AWS clients use it: by ring, with the system's certificates.
pub(crate) fn tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        tracing::warn!(errors = ?found.errors, "the system has no certificates to trust: nothing can be asked or sent over HTTPS");
    }
    let roots: Vec<_> =
        found.certs.iter().map(|found| Certificate::from_der(found).to_owned()).collect();
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&roots))
        .build()
}
