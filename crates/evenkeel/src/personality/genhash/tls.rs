//! TLS as genhash speaks it: whoever the server is.

use std::io;
use std::net::TcpStream;

use model::layer4::TlsFiles;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::options::Options;
use crate::probes;

/// A connection whose handshake is done.
pub(super) fn handshake(
    mut stream: TcpStream,
    options: &Options,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let config = probes::tls_config(&TlsFiles::default()).map_err(io::Error::other)?;
    let mut session =
        ClientConnection::new(config, server_name(options)).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(session, stream))
}

/// The virtual host without its port; an address is never sent as a name (RFC 6066 3).
fn server_name(options: &Options) -> ServerName<'static> {
    let host = options.virtual_host.as_deref().filter(|_| options.sni);
    let name = host.and_then(|host| host.split(':').next());
    name.and_then(|name| ServerName::try_from(name.to_owned()).ok())
        .unwrap_or_else(|| ServerName::IpAddress(options.target.ip().into()))
}
