//! TLS over a TCP connection, by rustls: 1.2 and 1.3.

mod verify;

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use edge::connect;
use model::layer4::TlsFiles;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection};

use super::Happened;
use super::stream::Stream;
use verify::Anybody;

/// What all connections of a plan share.
#[derive(Clone)]
pub(in crate::probes) struct Settings {
    config: Arc<ClientConfig>,
}

impl Settings {
    /// A certificate is shown when there is one, and the server asks for it. An error names the
    /// file.
    pub(in crate::probes) fn new(files: &TlsFiles) -> Result<Settings, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Arc::new(Anybody::new(&provider));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS: {error}"))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match (&files.certificate, &files.key) {
            (Some(certificate), key) => {
                // OpenSSL's users often keep both in one file.
                let key = key.as_ref().unwrap_or(certificate);
                let chain = certificates(certificate)?;
                let told = |error: &dyn std::fmt::Display| format!("{key}: {error}");
                let private = PrivateKeyDer::from_pem_file(key).map_err(|error| told(&error))?;
                builder
                    .with_client_auth_cert(chain, private)
                    .map_err(|error| format!("{certificate}: {error}"))?
            }
            (None, _) => builder.with_no_client_auth(),
        };
        // Every check is a whole handshake: what a new client meets is what is asked for.
        config.resumption = Resumption::disabled();
        Ok(Settings { config: Arc::new(config) })
    }

    pub(in crate::probes) fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }
}

/// All certificates of a PEM file; at least one.
fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let told = |error: rustls::pki_types::pem::Error| format!("{path}: {error}");
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(Path::new(path)).map_err(told)?.collect();
    let found = found.map_err(told)?;
    if found.is_empty() { Err(format!("{path}: no certificate in it")) } else { Ok(found) }
}

pub(in crate::probes) struct TlsStream {
    under: Stream,
    session: ClientConnection,
    /// It ends with our close_notify.
    compliant: bool,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Until the handshake is done.
    Greeting,
    Open,
    /// Its end has been told.
    Over,
}

impl TlsStream {
    pub(super) fn new(
        under: Stream,
        target: SocketAddr,
        tls: proto::check::Tls,
        settings: &Settings,
    ) -> io::Result<TlsStream> {
        let name = match tls.server_name {
            Some(name) => ServerName::try_from(name.as_str())
                .map_err(|_| {
                    let text = format!("no name for a TLS handshake: {name}");
                    io::Error::new(ErrorKind::InvalidInput, text)
                })?
                .to_owned(),
            // Addresses are never sent as a name (RFC 6066 3).
            None => ServerName::IpAddress(target.ip().into()),
        };
        let session = ClientConnection::new(settings.config.clone(), name)
            .map_err(|error| io::Error::other(told(&error)))?;
        Ok(TlsStream { under, session, compliant: tls.compliant, state: State::Greeting })
    }

    pub(super) fn next(&mut self, buffer: &mut [u8]) -> Happened {
        if self.state == State::Over {
            return Happened::Nothing;
        }
        let happened = self.step(buffer).unwrap_or_else(|cause| match self.state {
            State::Greeting => Happened::Connected(Err(cause)),
            State::Open | State::Over => Happened::Ended(Err(cause)),
        });
        match happened {
            Happened::Connected(Ok(())) => self.state = State::Open,
            Happened::Connected(Err(_)) | Happened::Ended(_) => self.state = State::Over,
            Happened::Nothing | Happened::Bytes(_) => {}
        }
        happened
    }

    fn step(&mut self, buffer: &mut [u8]) -> Result<Happened, String> {
        if self.under.is_connecting() {
            self.under.connected().map_err(|error| connect::cause(&error))?;
        }
        loop {
            self.flush().map_err(|error| connect::cause(&error))?;
            if self.state == State::Greeting && !self.session.is_handshaking() {
                return Ok(Happened::Connected(Ok(())));
            }
            if self.state == State::Open
                && let Some(happened) = self.plain(buffer)
            {
                return Ok(happened);
            }
            match self.session.read_tls(&mut &self.under.stream) {
                Ok(0) if self.state == State::Greeting => {
                    return Err("connection closed during the TLS handshake".to_string());
                }
                Ok(_) => self.process()?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Happened::Nothing);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(connect::cause(&error)),
            }
        }
    }

    fn process(&mut self) -> Result<(), String> {
        match self.session.process_new_packets() {
            Ok(_) => Ok(()),
            Err(error) => {
                // The alert that tells the server what is wrong.
                let _ = self.flush();
                Err(told(&error))
            }
        }
    }

    /// What has been deciphered, or the end.
    fn plain(&mut self, buffer: &mut [u8]) -> Option<Happened> {
        match self.session.reader().read(buffer) {
            Ok(0) => Some(Happened::Ended(Ok(()))),
            Ok(count) => Some(Happened::Bytes(0..count)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                // Without close_notify. How servers say goodbye tells nothing of their pages.
                Some(Happened::Ended(Ok(())))
            }
            // Nothing is there.
            Err(_) => None,
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.session.writer().write_all(bytes)?;
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut &self.under.stream) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for TlsStream {
    /// Says goodbye if it is to, and there is room for it.
    fn drop(&mut self) {
        if self.compliant && !self.session.is_handshaking() {
            self.session.send_close_notify();
            let _ = self.flush();
        }
    }
}

impl AsFd for TlsStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.under.as_fd()
    }
}

fn told(error: &rustls::Error) -> String {
    format!("TLS: {error}")
}
