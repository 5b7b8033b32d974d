//! HTTP_GET: every url answers with the status and the body it should, in order, each over a
//! connection of its own.

use alloc::format;
use alloc::string::String;
use alloc::vec::{self, Vec};
use core::fmt::Write;
use core::net::SocketAddr;

use model::check::UrlCheck;

use super::Step;
use super::reply::{Page, Progress, Reply};

#[derive(Debug)]
pub(super) struct HttpProbe {
    /// The url in question, then those to come.
    url: Option<UrlCheck>,
    later: vec::IntoIter<UrlCheck>,
    /// There is more than one: a failure says which.
    several: bool,
    reply: Reply,
}

impl HttpProbe {
    pub(super) fn new(urls: Vec<UrlCheck>) -> HttpProbe {
        let several = urls.len() > 1;
        let mut later = urls.into_iter();
        HttpProbe { url: later.next(), later, several, reply: Reply::new() }
    }

    /// Part of an answer has arrived.
    pub(super) fn has_begun(&self) -> bool {
        self.reply.has_begun()
    }

    pub(super) fn handle_connected(&mut self, target: SocketAddr) -> Step {
        match &self.url {
            Some(url) => Step::Send(request(url, target)),
            None => Step::Pass("no url to get".into()),
        }
    }

    pub(super) fn handle_bytes(&mut self, bytes: &[u8]) -> Step {
        let progress = self.reply.handle_bytes(bytes);
        self.follow(progress)
    }

    pub(super) fn handle_end(&mut self) -> Step {
        let progress = self.reply.handle_end();
        self.follow(progress)
    }

    fn follow(&mut self, progress: Progress) -> Step {
        let page = match progress {
            Progress::More => return Step::Wait,
            Progress::Broken(reason) => return Step::Fail(reason),
            Progress::Page(page) => page,
        };
        let Some(url) = self.url.take() else {
            return Step::Wait;
        };
        let verdict = judge(&url, &page);
        self.url = self.later.next();
        self.reply = Reply::new();
        match verdict {
            Err(reason) if self.several => Step::Fail(format!("{}: {reason}", url.path)),
            Err(reason) => Step::Fail(reason),
            Ok(_) if self.url.is_some() => Step::Reconnect,
            Ok(text) => Step::Pass(text),
        }
    }
}

/// Like Keepalived's, User-Agent included: access logs filter by it.
fn request(url: &UrlCheck, target: SocketAddr) -> Vec<u8> {
    let mut text = String::from("GET ");
    for character in url.path.chars() {
        if character.is_ascii_control() || character == ' ' {
            let _ = write!(text, "%{:02X}", u32::from(character));
        } else {
            text.push(character);
        }
    }
    text.push_str(" HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: ");
    match &url.virtual_host {
        Some(host) => text.extend(host.chars().filter(|character| !character.is_control())),
        None => {
            let _ = write!(text, "{target}");
        }
    }
    text.push_str("\r\n\r\n");
    text.into_bytes()
}

fn judge(url: &UrlCheck, page: &Page) -> Result<String, String> {
    let Page { status, digest, .. } = *page;
    let accepted = match url.status.as_slice() {
        // keepalived.conf(5): the default is 200 to 299, with a digest or without.
        [] => (200..=299).contains(&status),
        ranges => ranges.iter().any(|(least, most)| (*least..=*most).contains(&status)),
    };
    if !accepted {
        return Err(format!("HTTP status {status}"));
    }
    match url.digest {
        None => Ok(format!("HTTP status {status}")),
        Some(_) if page.cut => Err("body too long to digest".into()),
        Some(expected) if expected == digest => Ok(format!("HTTP status {status}, digest matches")),
        Some(expected) => Err(format!("digest {} instead of {}", hex(digest), hex(expected))),
    }
}

fn hex(digest: [u8; 16]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
