//! Findings about sections as a whole and about what refers to what.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use model::proxy::{LogFormat, Mode};

use super::proxy::{Log, Proxy};
use super::reader::Document;
use super::rules::When;
use super::section::Kind;
use super::table::list;
use crate::diagnostic::Diagnostic;
use crate::source::Spanned;
use crate::suggest;

/// Reports everything that one line alone does not show.
pub(super) fn check(document: &Document, diagnostics: &mut Vec<Diagnostic>) {
    duplicate_names(document, diagnostics);
    duplicate_binds(document, diagnostics);
    for proxy in &document.proxies {
        if proxy.kind.is_front() {
            front(document, proxy, diagnostics);
        }
        if proxy.kind.is_back() && proxy.servers.is_empty() && !proxy.settings.broken {
            let message = format!("{} has no server", proxy.title());
            diagnostics.push(
                Diagnostic::warning(proxy.name.span, message).help("every request gets status 503"),
            );
        }
        missing_timeouts(proxy, diagnostics);
        only_http(proxy, diagnostics);
    }
}

/// A frontend and a backend may share a name; two of one side may not.
fn duplicate_names(document: &Document, diagnostics: &mut Vec<Diagnostic>) {
    for (number, proxy) in document.proxies.iter().enumerate() {
        if proxy.name.value.is_empty() {
            continue;
        }
        let first = document.proxies[..number].iter().find(|first| {
            first.name.value == proxy.name.value
                && (first.kind.is_front() && proxy.kind.is_front()
                    || first.kind.is_back() && proxy.kind.is_back())
        });
        if let Some(first) = first {
            let message = format!("{} has the same name as {}", proxy.title(), first.title());
            diagnostics.push(
                Diagnostic::error(proxy.name.span, message)
                    .related(first.name.span, "the first one is here")
                    .help("give it another name"),
            );
        }
    }
}

fn duplicate_binds(document: &Document, diagnostics: &mut Vec<Diagnostic>) {
    let fronts = document.proxies.iter().filter(|proxy| proxy.kind.is_front());
    let mut binds: Vec<_> = fronts.flat_map(|proxy| &proxy.binds).collect();
    // Stable: of equal addresses the first written stays first.
    binds.sort_by_key(|bind| bind.address);
    for pair in binds.windows(2) {
        if let [first, second] = pair
            && first.address == second.address
        {
            let message = format!("{} is bound twice", second.address);
            diagnostics.push(
                Diagnostic::error(second.span, message)
                    .related(first.span, "the first time is here")
                    .help("remove one of the two"),
            );
        }
    }
}

fn front(document: &Document, proxy: &Proxy, diagnostics: &mut Vec<Diagnostic>) {
    if proxy.binds.is_empty() && !proxy.settings.broken {
        let message = format!("{} has no `bind` line and takes no client", proxy.title());
        diagnostics.push(
            Diagnostic::warning(proxy.name.span, message)
                .help("write one, such as `bind :80`, or make the section a backend"),
        );
    }
    for rule in &proxy.use_backends {
        reference(document, proxy, &rule.backend, "use_backend", diagnostics);
    }
    let default = proxy.settings.default_backend.as_ref();
    if let Some(default) = default {
        reference(document, proxy, default, "default_backend", diagnostics);
    } else if proxy.kind == Kind::Frontend
        && proxy.use_backends.is_empty()
        && !proxy.settings.broken
    {
        let message = format!("{} leads to no backend", proxy.title());
        diagnostics.push(
            Diagnostic::warning(proxy.name.span, message)
                .help("write `default_backend NAME`; without it every client gets status 503"),
        );
    }
    unreachable_rules(proxy, diagnostics);
    if let Some(format) = proxy.settings.log_format.as_ref().filter(|_| !has_log(document, proxy)) {
        let message = format!("{} has a log format but writes no log", proxy.title());
        diagnostics.push(
            Diagnostic::warning(proxy.name.span, message)
                .related(format.span, "the format is chosen here")
                .help("write `log global` here or in defaults, and a `log` line in global"),
        );
    }
}

fn has_log(document: &Document, proxy: &Proxy) -> bool {
    proxy.settings.broken
        || proxy.settings.log.iter().any(|log| match log {
            Log::Global => !document.global.log.is_empty() || document.global.broken,
            Log::Target(_) => true,
        })
}

/// The backend exists and speaks the frontend's language.
fn reference(
    document: &Document,
    proxy: &Proxy,
    name: &Spanned<alloc::string::String>,
    keyword: &str,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut backends = document.proxies.iter().filter(|backend| backend.kind.is_back());
    let found = backends.clone().find(|backend| backend.name.value == name.value);
    let Some(backend) = found else {
        let message = format!("there is no backend `{}`", name.value);
        let mut diagnostic = Diagnostic::error(name.span, message);
        let names = backends.clone().map(|backend| backend.name.value.as_str());
        if let Some(near) = suggest::nearest(&name.value, names) {
            diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
            if let Some(near) = backends.find(|backend| backend.name.value == near) {
                diagnostic = diagnostic.related(near.name.span, "this one is near");
            }
        } else {
            diagnostic = diagnostic.help(format!("write a section `backend {}`", name.value));
        }
        // One line in `defaults` concerns many frontends, but is one mistake.
        if !diagnostics.contains(&diagnostic) {
            diagnostics.push(diagnostic);
        }
        return;
    };
    if backend.mode() != proxy.mode() {
        let mode = |mode| if mode == Mode::Http { "http" } else { "tcp" };
        let message = format!(
            "{} is in mode {}, but {} is in mode {}",
            proxy.title(),
            mode(proxy.mode()),
            backend.title(),
            mode(backend.mode())
        );
        let mut diagnostic = Diagnostic::error(name.span, message)
            .related(backend.name.span, "the backend is here")
            .help(format!("say `mode {}` in both", mode(Mode::Http)));
        if let Some(set) = &backend.settings.mode {
            diagnostic = diagnostic.related(set.span, "the backend's mode");
        }
        if let Some(set) = &proxy.settings.mode {
            diagnostic = diagnostic.related(set.span, format!("the mode of the {keyword}'s side"));
        }
        diagnostics.push(diagnostic);
    }
}

/// Rules below one that always holds are never looked at.
fn unreachable_rules(proxy: &Proxy, diagnostics: &mut Vec<Diagnostic>) {
    let rules = &proxy.use_backends;
    let Some(always) = rules.iter().position(|rule| rule.when == When::Always) else {
        return;
    };
    if let Some(next) = rules.get(always + 1) {
        diagnostics.push(
            Diagnostic::warning(
                next.backend.span,
                "this rule and those below it are never reached",
            )
            .related(rules[always].backend.span, "this one always holds")
            .help("put a condition on the rule above, or make it the default_backend"),
        );
    }
}

fn missing_timeouts(proxy: &Proxy, diagnostics: &mut Vec<Diagnostic>) {
    if proxy.settings.broken {
        return;
    }
    let timeouts = &proxy.settings.timeouts;
    let none = |time: Option<Duration>| time.is_none_or(|time| time.is_zero());
    let mut missing = Vec::new();
    if proxy.kind.is_front() && none(timeouts.client) {
        missing.push("timeout client");
    }
    if proxy.kind.is_back() && !proxy.servers.is_empty() {
        if none(timeouts.connect) {
            missing.push("timeout connect");
        }
        if none(timeouts.server) {
            missing.push("timeout server");
        }
    }
    if !missing.is_empty() {
        let message = format!("{} lacks {}", proxy.title(), list(&missing));
        diagnostics.push(
            Diagnostic::warning(proxy.name.span, message)
                .help("without them dead peers keep connections forever; set them in defaults"),
        );
    }
}

/// What a TCP proxy cannot do.
fn only_http(proxy: &Proxy, diagnostics: &mut Vec<Diagnostic>) {
    if proxy.mode() == Mode::Http {
        return;
    }
    let settings = &proxy.settings;
    let format = settings.log_format.as_ref().filter(|format| format.value == LogFormat::Http);
    if let Some(format) = format.filter(|_| proxy.kind.is_front()) {
        let message =
            format!("{} is in mode tcp, where `option httplog` becomes tcplog", proxy.title());
        diagnostics.push(
            Diagnostic::warning(proxy.name.span, message)
                .related(format.span, "httplog is chosen here")
                .help("write `mode http` or `option tcplog`"),
        );
    }
    if let Some(forward_for) = &settings.forward_for {
        let message =
            format!("{} is in mode tcp, where `option forwardfor` has no effect", proxy.title());
        diagnostics.push(
            Diagnostic::warning(proxy.name.span, message)
                .related(forward_for.span, "forwardfor is set here")
                .help("write `mode http`"),
        );
    }
    for span in &proxy.needs_http {
        let message = format!("{} is in mode tcp and sees no HTTP request", proxy.title());
        diagnostics
            .push(Diagnostic::error(*span, message).help("write `mode http`, or test `src` only"));
    }
}
