//! Sections into the plan: names and defaults filled in.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use model::check::{CheckKind, Checker, HttpCheck, Pace, Source};
use model::proxy::{
    Backend, Bind, ClientTimeouts, ConnectionMode, ForwardFor, Frontend, LogFormat, LogSettings,
    Mode, ProcessSettings, ProxyPlan, ServerTimeouts, UseBackend,
};

use super::Part;
use super::global::Global;
use super::proxy::{Log, Proxy, Settings};
use super::reader::Document;
use super::rules::When;
use super::section::Kind;
use super::server;

/// HAProxy's defaults.
const RETRIES: u32 = 3;
const WEIGHT: u16 = 1;
const INTERVAL: Duration = Duration::from_secs(2);
const RISE: u32 = 2;
const FALL: u32 = 3;
const LOG_TAG: &str = "haproxy";

/// The plan of a document, and where its listening addresses were written.
pub(super) fn lower(document: Document, processors: u16) -> Part {
    let plan = ProxyPlan { process: process(&document.global, processors), ..ProxyPlan::default() };
    let mut part = Part { plan, binds: Vec::new() };
    for proxy in &document.proxies {
        if proxy.kind.is_front() {
            let number = part.plan.frontends.len();
            for (index, bind) in proxy.binds.iter().enumerate() {
                part.binds.push((number, index, bind.address, bind.span));
            }
            part.plan.frontends.push(frontend(proxy, &document.global));
        }
        if proxy.kind.is_back() {
            part.plan.backends.push(backend(proxy, &document.global));
        }
    }
    part
}

fn process(global: &Global, processors: u16) -> ProcessSettings {
    let text = |field: &Option<crate::source::Spanned<String>>| {
        field.as_ref().map(|text| text.value.clone())
    };
    ProcessSettings {
        user: global.user.as_ref().map(|user| user.value.clone()),
        group: global.group.as_ref().map(|group| group.value.clone()),
        chroot: text(&global.chroot),
        pid_file: text(&global.pid_file),
        daemon: global.daemon,
        threads: global.threads.as_ref().map_or(processors, |threads| threads.value as u16),
        max_connections: positive(&global.max_connections),
    }
}

/// Zero means no limit of its own, as in HAProxy.
fn positive(number: &Option<crate::source::Spanned<u32>>) -> Option<u32> {
    number.as_ref().map(|number| number.value).filter(|number| *number > 0)
}

fn frontend(proxy: &Proxy, global: &Global) -> Frontend {
    let settings = &proxy.settings;
    let timeouts = &settings.timeouts;
    let itself = (proxy.kind == Kind::Listen).then(|| proxy.name.value.clone());
    Frontend {
        name: proxy.name.value.clone(),
        mode: proxy.mode(),
        binds: proxy
            .binds
            .iter()
            .map(|bind| Bind { address: bind.address, freebind: false })
            .collect(),
        max_connections: positive(&settings.max_connections),
        log: log_settings(proxy, global),
        timeouts: ClientTimeouts {
            client: bound(timeouts.client),
            http_request: bound(timeouts.http_request),
            http_keep_alive: bound(timeouts.http_keep_alive),
        },
        forward_for: forward_for(proxy),
        connection_mode: connection_mode(settings),
        use_backends: proxy
            .use_backends
            .iter()
            .filter_map(|rule| {
                let condition = match &rule.when {
                    When::Never => return None,
                    When::Always => None,
                    When::If(condition) => Some(condition.clone()),
                };
                Some(UseBackend { backend: rule.backend.value.clone(), condition })
            })
            .collect(),
        default_backend: settings
            .default_backend
            .as_ref()
            .map(|name| name.value.clone())
            .or(itself),
    }
}

/// A timeout of zero is none.
fn bound(time: Option<Duration>) -> Option<Duration> {
    time.filter(|time| !time.is_zero())
}

fn forward_for(proxy: &Proxy) -> Option<ForwardFor> {
    let set = proxy.settings.forward_for.as_ref()?;
    (proxy.mode() == Mode::Http).then(|| set.value.clone())
}

fn connection_mode(settings: &Settings) -> ConnectionMode {
    settings.connection_mode.as_ref().map_or(ConnectionMode::default(), |mode| mode.value)
}

/// The log lines' shape; `option httplog` needs `mode http` and falls back to tcplog.
pub(super) fn log_format(proxy: &Proxy) -> LogFormat {
    match (proxy.settings.log_format.as_ref().map(|format| format.value), proxy.mode()) {
        (Some(LogFormat::Http), Mode::Tcp) => LogFormat::Tcp,
        (Some(format), _) => format,
        (None, _) => LogFormat::Default,
    }
}

fn log_settings(proxy: &Proxy, global: &Global) -> LogSettings {
    let settings = &proxy.settings;
    let mut targets = Vec::new();
    for log in &settings.log {
        match log {
            Log::Global => targets.extend(global.log.iter().cloned()),
            Log::Target(target) => targets.push(target.clone()),
        }
    }
    let tag = settings.log_tag.as_ref().or(global.log_tag.as_ref());
    LogSettings {
        targets,
        format: log_format(proxy),
        dont_log_null: settings.dont_log_null.unwrap_or(false),
        tag: tag.map_or(LOG_TAG.to_string(), |tag| tag.value.clone()),
    }
}

fn backend(proxy: &Proxy, global: &Global) -> Backend {
    let settings = &proxy.settings;
    let timeouts = &settings.timeouts;
    Backend {
        name: proxy.name.value.clone(),
        mode: proxy.mode(),
        balance: settings.balance.as_ref().map_or_else(Default::default, |balance| balance.value),
        servers: proxy.servers.iter().map(|server| lower_server(server, settings)).collect(),
        timeouts: ServerTimeouts {
            connect: bound(timeouts.connect),
            server: bound(timeouts.server),
            queue: bound(timeouts.queue),
            tunnel: bound(timeouts.tunnel),
        },
        retries: settings.retries.as_ref().map_or(RETRIES, |retries| retries.value),
        redispatch: settings.redispatch.unwrap_or(false),
        forward_for: forward_for(proxy),
        connection_mode: connection_mode(settings),
        log: log_settings(proxy, global),
    }
}

fn lower_server(server: &server::Server, settings: &Settings) -> model::proxy::Server {
    let parameters = &server.parameters;
    let checked = parameters.check.as_ref().is_some_and(|check| check.value);
    model::proxy::Server {
        name: server.name.value.clone(),
        address: server.address,
        weight: parameters.weight.unwrap_or(WEIGHT),
        backup: parameters.backup.unwrap_or(false),
        check: checked.then(|| checker(server, settings)),
    }
}

fn checker(server: &server::Server, settings: &Settings) -> Checker {
    let parameters = &server.parameters;
    let port = parameters.check_port.as_ref().map_or(server.address.port(), |p| p.value as u16);
    let ip = parameters.check_address.as_ref().map_or(server.address.ip(), |ip| ip.value);
    let interval = parameters.interval.as_ref().map_or(INTERVAL, |time| time.value);
    let kind = match &settings.http_check {
        Some(check) => CheckKind::Http(HttpCheck::plain(vec![check.value.clone()])),
        None => CheckKind::Tcp,
    };
    Checker {
        timeout: check_timeout(&kind, interval, settings),
        kind,
        target: SocketAddr::new(ip, port),
        source: Source::default(),
        log_all_failures: false,
        pace: Pace {
            interval,
            down_interval: parameters.down_interval.as_ref().map_or(interval, |t| t.value),
            retry_interval: parameters.fast_interval.as_ref().map_or(interval, |t| t.value),
            rise: parameters.rise.as_ref().map_or(RISE, |rise| rise.value),
            fall: parameters.fall.as_ref().map_or(FALL, |fall| fall.value),
            warmup: Duration::ZERO,
            initially_up: true,
        },
    }
}

/// Manual, "timeout check": without it `inter` bounds the whole check. With it the connect is
/// bound by the smaller of `timeout connect` and `inter`, and the answer by `timeout check`;
/// our one bound is that of the step that decides: the connect of a plain check, else the answer.
fn check_timeout(kind: &CheckKind, interval: Duration, settings: &Settings) -> Duration {
    match (bound(settings.timeouts.check), kind) {
        (None, _) => interval,
        (Some(_), CheckKind::Tcp) => {
            bound(settings.timeouts.connect).map_or(interval, |connect| connect.min(interval))
        }
        (Some(check), _) => check,
    }
}
