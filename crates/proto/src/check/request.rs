//! The request of HTTP_GET and SSL_GET, as Keepalived sends it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::SocketAddr;

use model::check::{HttpVersion, UrlCheck};

/// User-Agent included: access logs filter by it. Without a virtual host the Host header names
/// address and port, of IPv6 in brackets. Nothing in a path or name breaks out of its line.
pub(super) fn request(version: HttpVersion, url: &UrlCheck, target: SocketAddr) -> Vec<u8> {
    let mut text = String::from("GET ");
    for character in url.path.chars() {
        if character.is_ascii_control() || character == ' ' {
            let _ = write!(text, "%{:02X}", u32::from(character));
        } else {
            text.push(character);
        }
    }
    let (number, connection) = match version {
        HttpVersion::Http10 => ("1.0", ""),
        HttpVersion::Http10Close => ("1.0", "Connection: close\r\n"),
        HttpVersion::Http10KeepAlive => ("1.0", "Connection: keep-alive\r\n"),
        HttpVersion::Http11 => ("1.1", "Connection: close\r\n"),
        HttpVersion::Http11KeepAlive => ("1.1", "Connection: keep-alive\r\n"),
    };
    let _ = write!(text, " HTTP/{number}\r\nUser-Agent: KeepAliveClient\r\n{connection}Host: ");
    match &url.virtual_host {
        Some(host) => text.extend(host.chars().filter(|character| !character.is_control())),
        None => {
            let _ = write!(text, "{target}");
        }
    }
    text.push_str("\r\n\r\n");
    text.into_bytes()
}
