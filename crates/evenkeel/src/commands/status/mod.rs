//! `evenkeel status`: everything on one screen.

mod layer4;
mod vrrp;

use std::fmt::Write;
use std::io::{self, Write as _};
use std::process::ExitCode;

use model::proxy::Mode;
use model::status::{BackendStatus, FrontendStatus, ProxyReport};
use serde::Serialize;

use crate::cli::StatusArgs;
use crate::control::{MISTAKEN, Request, Response, Status, ask};

/// Shows the running director, or one of its virtual servers.
pub(crate) fn status(args: &StatusArgs) -> ExitCode {
    let text = match &args.virtual_server[..] {
        [] => whole(args),
        words => one(args, words.join(" ")),
    };
    match text.and_then(|text| print(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::fail(&error),
    }
}

fn whole(args: &StatusArgs) -> Result<String, String> {
    match ask(&args.runtime.runtime_dir, &Request::Status)? {
        Response::Status(status) if args.json => json(&status),
        Response::Status(status) => Ok(screen(&status, paint(), args.verbose)),
        _ => Err(MISTAKEN.into()),
    }
}

fn one(args: &StatusArgs, name: String) -> Result<String, String> {
    match ask(&args.runtime.runtime_dir, &Request::VirtualServer(name))? {
        Response::VirtualServer(report) if args.json => json(&report),
        Response::VirtualServer(report) => {
            let mut text = String::new();
            layer4::show(&mut text, &report, paint(), args.verbose);
            Ok(text.trim_start().to_owned())
        }
        _ => Err(MISTAKEN.into()),
    }
}

fn json(value: &impl Serialize) -> Result<String, String> {
    serde_json::to_string_pretty(value)
        .map(|json| format!("{json}\n"))
        .map_err(|error| error.to_string())
}

fn paint() -> Paint {
    Paint(super::colours(&io::stdout()))
}

fn print(text: &str) -> Result<(), String> {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Ok(()),
        // Whoever read it, as `head` does, has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(format!("standard output: {error}")),
    }
}

/// Colours or none.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    fn heading(self, text: &str) -> String {
        self.with("1", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn screen(status: &Status, paint: Paint, verbose: bool) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Evenkeel {} on {}, up {}, configuration {} of {}",
        status.version,
        status.host,
        duration(status.uptime_seconds),
        status.generation,
        status.files.join(", ")
    );
    for role in &status.roles {
        let pid = role.pid.map_or_else(String::new, |pid| format!(", process {pid}"));
        let restarts = match role.restarts {
            0 => String::new(),
            1 => ", 1 restart".into(),
            several => format!(", {several} restarts"),
        };
        let _ = writeln!(text, "  {:<9} {}{pid}{restarts}", role.role, role.state);
    }
    if let Some(reload) = status.last_reload.as_ref().filter(|reload| !reload.applied) {
        let reason = reload.messages.lines().find(|line| line.starts_with("error"));
        let first = reason.or(reload.messages.lines().next()).unwrap_or_default();
        let _ = writeln!(text, "{}: {first}", paint.bad("the last reload was refused"));
    }
    let mails = &status.alerts;
    if mails.waiting > 0 || mails.failed > 0 || mails.dropped > 0 {
        let _ = writeln!(
            text,
            "mails: {} sent, {} waiting, {} not taken, {} dropped",
            mails.sent, mails.waiting, mails.failed, mails.dropped
        );
    }
    // What is not there any more, and what has no line of its own.
    for change in status.manual.iter().filter(|one| one.server.is_none()) {
        let what = &change.change;
        let _ = match change.virtual_server.as_str() {
            "" => writeln!(text, "{}: {what}", paint.heading("by ipvsadm")),
            name if what == "deleted" => {
                writeln!(text, "{}: {name} is deleted", paint.heading("by ipvsadm"))
            }
            _ => Ok(()),
        };
    }
    if let Some(report) = &status.vrrp {
        vrrp::show(&mut text, report, paint);
    }
    if let Some(report) = &status.director {
        layer4::show(&mut text, report, paint, verbose);
    }
    if let Some(report) = &status.proxy {
        proxies(&mut text, report, paint);
    }
    text
}

fn proxies(text: &mut String, report: &ProxyReport, paint: Paint) {
    let _ = writeln!(
        text,
        "\n{} (process {}{})\n  {:<30} {:<5} {:>7} {:>10} {:>10} {:>10} {:>10}  2xx/3xx/4xx/5xx",
        paint.heading("LAYER 7"),
        report.pid,
        if report.logs_dropped > 0 {
            format!(", {} log lines dropped", report.logs_dropped)
        } else {
            String::new()
        },
        "FRONTEND",
        "MODE",
        "OPEN",
        "CONNS",
        "REQUESTS",
        "BYTES IN",
        "BYTES OUT"
    );
    for frontend in &report.frontends {
        frontend_line(text, frontend);
    }
    let _ = writeln!(
        text,
        "  {:<30} {:<7} {:>6} {:>7} {:>8} {:>8} {:>8}  LAST CHECK",
        "BACKEND / SERVER", "STATE", "WEIGHT", "OPEN", "SESSIONS", "ERRORS", "RETRIES"
    );
    for backend in &report.backends {
        backend_lines(text, backend, paint);
    }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Tcp => "tcp",
        Mode::Http => "http",
    }
}

fn frontend_line(text: &mut String, frontend: &FrontendStatus) {
    let binds: Vec<String> = frontend.binds.iter().map(ToString::to_string).collect();
    let [_, ok, moved, client, server] = frontend.responses;
    let _ = writeln!(
        text,
        "  {:<30} {:<5} {:>7} {:>10} {:>10} {:>10} {:>10}  {ok}/{moved}/{client}/{server}",
        format!("{} {}", frontend.name, binds.join(",")),
        mode(frontend.mode),
        frontend.connections,
        frontend.connections_total,
        frontend.requests,
        bytes(frontend.bytes_in),
        bytes(frontend.bytes_out)
    );
}

fn backend_lines(text: &mut String, backend: &BackendStatus, paint: Paint) {
    let _ = writeln!(text, "  {} ({})", backend.name, mode(backend.mode));
    for server in &backend.servers {
        let state = match (server.up, server.checked) {
            (true, true) => paint.good("up     "),
            (true, false) => "no check".to_owned(),
            (false, _) => paint.bad("down   "),
        };
        let backup = if server.backup { " backup" } else { "" };
        let _ = writeln!(
            text,
            "    {:<28} {state:<7} {:>6} {:>7} {:>8} {:>8} {:>8}  {}",
            format!("{} {}{backup}", server.name, server.address),
            server.weight,
            server.sessions,
            server.sessions_total,
            server.connect_errors,
            server.retries,
            server.last_result.as_deref().unwrap_or("")
        );
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = count as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{scaled:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shortened_for_people() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1_572_864), "1.5 MiB");
        assert_eq!(duration(59), "59s");
        assert_eq!(duration(3_700), "1h01m");
    }
}
