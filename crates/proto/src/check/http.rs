//! HTTP_GET and SSL_GET: a url answers with the status and the body it should.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::SocketAddr;
use core::time::Duration;

use model::check::{HttpCheck, ServerName, TlsCheck, UrlCheck};

use super::Tls;
use super::pattern;
use super::probe::Step;
use super::reply::{Page, Progress, Reply, Wanted};
use super::request::request;
use super::words::{Text, no_answer, seconds};

#[derive(Debug)]
pub(super) struct HttpProbe {
    url: UrlCheck,
    /// There is more than one: a result says which.
    several: bool,
    request: Vec<u8>,
    reply: Reply,
}

impl HttpProbe {
    /// Of the url at this place; there is at least one.
    pub(super) fn new(http: &HttpCheck, place: u16, target: SocketAddr) -> HttpProbe {
        let url = http.urls.get(usize::from(place)).or(http.urls.first());
        let url = url.cloned().unwrap_or_default();
        HttpProbe {
            several: http.urls.len() > 1,
            request: request(http.version, &url, target),
            reply: Reply::new(Wanted { digest: url.digest.is_some(), body: url.pattern.is_some() }),
            url,
        }
    }

    /// What the connection needs.
    pub(super) fn tls(&self, http: &HttpCheck) -> Option<Tls> {
        let TlsCheck { server_name, compliant } = http.tls.as_ref()?;
        let server_name = match server_name {
            ServerName::Absent => None,
            ServerName::VirtualHost => self.url.virtual_host.as_deref().map(host_alone),
            ServerName::Name(name) => Some(name.clone()),
        };
        Some(Tls { server_name, compliant: *compliant })
    }

    pub(super) fn handle_open(&mut self) -> Step {
        Step::Send(core::mem::take(&mut self.request))
    }

    pub(super) fn handle_bytes(&mut self, bytes: &[u8]) -> Step {
        let progress = self.reply.handle_bytes(bytes);
        self.follow(progress)
    }

    pub(super) fn handle_end(&mut self) -> Step {
        let progress = self.reply.handle_end();
        self.follow(progress)
    }

    pub(super) fn handle_late(&self, within: Duration) -> Step {
        let text = match self.reply.has_begun() {
            true => format!("answer not complete within {}", seconds(within)).into(),
            false => no_answer(within),
        };
        Step::Fail(self.at_url(text))
    }

    /// A cause, with the url in front when there are several.
    pub(super) fn at_url(&self, cause: Text) -> Text {
        if self.several { format!("{}: {cause}", self.url.path).into() } else { cause }
    }

    fn follow(&self, progress: Progress) -> Step {
        let result = match progress {
            Progress::More => return Step::Wait,
            Progress::Broken(reason) => Err(reason),
            Progress::Page(page) => judge(&self.url, &page),
        };
        match result {
            Ok(text) => Step::Pass(self.at_url(text)),
            Err(text) => Step::Fail(self.at_url(text)),
        }
    }
}

/// `www.example.org:8443`: without the port, which has no place in a server name.
fn host_alone(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port))
            if !name.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            name.to_string()
        }
        Some(_) | None => host.to_string(),
    }
}

fn judge(url: &UrlCheck, page: &Page) -> Result<Text, Text> {
    let status = page.status;
    let accepted = match url.status.as_slice() {
        // keepalived.conf(5): the default is 200 to 299, whatever else is asked for.
        [] => (200..=299).contains(&status),
        ranges => ranges.iter().any(|(least, most)| (*least..=*most).contains(&status)),
    };
    if !accepted {
        return Err(format!("HTTP status {status}").into());
    }
    let mut text = match status {
        200 => Text::from("HTTP status 200"),
        other => format!("HTTP status {other}").into(),
    };
    if let Some(expected) = url.digest {
        if page.cut {
            return Err("body too long to digest".into());
        }
        if ![Some(page.digest), page.coded_digest].contains(&Some(expected)) {
            let text = format!("digest {} instead of {}", hex(page.digest), hex(expected));
            return Err(page.broken.clone().unwrap_or(text.into()));
        }
        text += ", digest matches";
    }
    if let Some(pattern) = &url.pattern {
        let searched = pattern::judge(pattern, &page.body, page.body_cut)?;
        text += ", ";
        text += searched;
    }
    Ok(text)
}

fn hex(digest: [u8; 16]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_name_has_no_port() {
        let names = [("a.b:8443", "a.b"), ("a.b", "a.b"), ("::1", "::1"), ("a:b", "a:b")];
        for (host, name) in names {
            assert_eq!(host_alone(host), name);
        }
    }
}
