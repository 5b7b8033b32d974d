//! Called as `keepalived`: its options, exit codes, pid files, signals and dump files
//! (keepalived(8)).

mod dump;
mod options;
mod signals;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use conf::Language;
use model::control::{Runtime, XdpMode};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::cli::Role;
use crate::commands::run::{self, Background, FACILITY_DAEMON, Log, LogTo, Settings};
use crate::load::{self, Files, Only};
use crate::personality::genhash;
use crate::scripts::Weight;
use crate::supervisor::Habits;

pub(crate) use dump::{Dump, Since};
use options::Options;
pub(crate) use signals::Function;

/// Exit code of a command line that is not understood.
const MISUSED: u8 = 1;
/// Exit code of a test: the configuration cannot be run at all.
const CANNOT_RUN: u8 = 4;
/// Exit code of a test: programs are run without `enable_script_security`.
const INSECURE: u8 = 6;
/// Exit code of a test: the configuration has errors.
const ERRORS: u8 = 5;

/// Does what Keepalived would do for this command line.
pub(crate) fn run(arguments: Vec<OsString>) -> ExitCode {
    if arguments.get(1).is_some_and(|first| first == "-T" || first == "--genhash") {
        let program = format!("{} --genhash", arguments[0].to_string_lossy());
        return genhash::run(&program, &arguments[2..]);
    }
    let options = match Options::try_parse_from(arguments.into_iter().map(unglued)) {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(MISUSED) } else { ExitCode::SUCCESS };
        }
    };
    if options.version {
        eprintln!("Evenkeel {}, as Keepalived", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    if let Some(name) = &options.signum {
        return signal_number(name);
    }
    if let Some(reason) = refused(&options) {
        eprintln!("keepalived: {reason}");
        return ExitCode::from(MISUSED);
    }
    let files = files(&options);
    if let Some(mask) = options.umask {
        rustix::process::umask(Mode::from_raw_mode(mask));
    }
    if options.core_dump {
        let unlimited = Rlimit { current: None, maximum: None };
        if let Err(error) = setrlimit(Resource::Core, unlimited) {
            eprintln!("keepalived: core files cannot be allowed: {error}");
        }
    }
    match &options.test {
        Some(log) => test(&files, log),
        None => run::go(settings(&options, files)),
    }
}

/// getopt takes `-tFILE` and `-MPATTERN`; here they are spelled out.
fn unglued(argument: OsString) -> OsString {
    let Some(text) = argument.to_str() else { return argument };
    let glued = |short: &str| {
        text.strip_prefix(short).filter(|rest| !rest.is_empty() && !rest.starts_with('='))
    };
    match (glued("-t"), glued("-M")) {
        (Some(file), _) => format!("--config-test={file}").into(),
        (_, Some(pattern)) => format!("--core-dump-pattern={pattern}").into(),
        (None, None) => argument,
    }
}

fn signal_number(name: &str) -> ExitCode {
    match Function::named(name) {
        Some(function) => {
            println!("{}", function.signal());
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("Unknown sigfunc {name}: use STOP, RELOAD, DATA, STATS, STATS_CLEAR or JSON");
            ExitCode::from(MISUSED)
        }
    }
}

/// Options that we cannot honour, and what to do instead.
fn refused(options: &Options) -> Option<&'static str> {
    if options.snmp || options.snmp_socket.is_some() {
        return Some("there is no SNMP agent here: use `evenkeel status --json`");
    }
    if options.core_pattern.is_some() {
        return Some("set /proc/sys/kernel/core_pattern yourself; -m alone allows core files");
    }
    None
}

fn files(options: &Options) -> Files {
    let only = match (options.vrrp, options.check) {
        (true, false) => Only::Vrrp,
        (false, true) => Only::Layer4,
        (true, true) | (false, false) => Only::Everything,
    };
    let path = (options.file.clone(), Some(Language::Keepalived));
    let mut files = Files::of(vec![path])
        .with_only(only)
        .with_umask(options.umask)
        .identified(options.config_id.clone())
        .with_every_file(options.all_files);
    if let Some(name) = &options.namespace {
        files = files.in_namespace(name);
    }
    if options.no_bfd {
        files = files.without_bfd();
    }
    files
}

/// `-t`: what is found goes to standard error or a file; the exit code tells.
fn test(files: &Files, log: &str) -> ExitCode {
    let loaded = load::load(files);
    let text = loaded.render(false);
    if log.is_empty() {
        eprint!("{text}");
    } else if let Err(error) = fs::write(log, &text) {
        eprintln!("keepalived: cannot write {log}: {error}");
    }
    let found = |weight| loaded.findings.iter().any(|finding| finding.weight == weight);
    let fails = loaded.diagnostics.iter().any(|diagnostic| diagnostic.fails_test);
    if found(Weight::Security) {
        ExitCode::from(INSECURE)
    } else if fails || found(Weight::Disabled) {
        ExitCode::from(ERRORS)
    } else if loaded.plan.is_some() {
        ExitCode::SUCCESS
    } else if files.names().iter().any(|path| fs::metadata(path).is_err()) {
        ExitCode::from(CANNOT_RUN)
    } else {
        ExitCode::from(ERRORS)
    }
}

fn settings(options: &Options, files: Files) -> Settings {
    let log_to = match (options.log_console, options.no_syslog) {
        (true, _) => LogTo::StandardError,
        (false, true) => LogTo::Nowhere,
        (false, false) => LogTo::Syslog,
    };
    let mut pid_files = Vec::new();
    let mut pid_names = Vec::new();
    for (role, name) in Habits::PID_NAMES {
        let given = match role {
            Some(Role::Vrrp) => &options.vrrp_pid,
            Some(Role::Director) => &options.checkers_pid,
            Some(Role::Helper | Role::Proxy) | None => &options.pid,
        };
        match given {
            Some(path) => pid_files.push((role, path.clone())),
            None => pid_names.push((role, name)),
        }
    }
    let (directory, pin_directory) = directories(options.pid.as_deref());
    Settings {
        files,
        runtime: Runtime {
            directory,
            pin_directory,
            xdp_mode: XdpMode::Auto,
            connections_max: director::xdp::CONNECTIONS_DEFAULT,
            connections6_max: director::xdp::CONNECTIONS6_DEFAULT,
        },
        restart_delays: Vec::new(),
        log: Log {
            verbose: options.log_detail,
            to: log_to,
            facility: options.log_facility.unwrap_or(FACILITY_DAEMON),
            name: "keepalived",
        },
        background: if options.foreground { Background::Never } else { Background::Always },
        dump_configuration: options.dump_configuration,
        habits: Habits {
            pid_files,
            pid_names,
            pid_names_on_demand: false,
            own_directories: std::env::var_os(RUNTIME_DIRECTORY).is_none(),
            no_respawn: options.no_respawn,
            leave_addresses: options.keep_addresses && !options.release_addresses,
            leave_forwarding: options.keep_forwarding,
            // /tmp, or where TMPDIR says.
            dumps: Some(std::env::temp_dir()),
        },
        by_hand: false,
    }
}

/// Environment variable with the directory of sockets.
const RUNTIME_DIRECTORY: &str = "EVENKEEL_RUNTIME_DIR";

/// Runtime and pin directory: the usual ones, but for a second one on the machine, which has a
/// pid file of its own, its own beside that.
fn directories(pid_file: Option<&Path>) -> (String, String) {
    let name = pid_file.and_then(Path::file_stem).and_then(|stem| stem.to_str());
    let environment = std::env::var(RUNTIME_DIRECTORY).ok();
    match name {
        None | Some("keepalived") => {
            (environment.unwrap_or_else(|| "/run/evenkeel".into()), "/sys/fs/bpf/evenkeel".into())
        }
        Some(name) => (
            environment.unwrap_or_else(|| format!("/run/evenkeel-{name}")),
            format!("/sys/fs/bpf/evenkeel-{name}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glued_values_are_spelled_out() {
        let unglued = |text: &str| super::unglued(text.into()).into_string().unwrap();
        assert_eq!(unglued("-t/tmp/log"), "--config-test=/tmp/log");
        assert_eq!(unglued("-t"), "-t");
        assert_eq!(unglued("-t=/x"), "-t=/x");
        assert_eq!(unglued("-Mcore"), "--core-dump-pattern=core");
        assert_eq!(unglued("--test"), "--test");
    }

    #[test]
    fn a_second_one_with_its_own_pid_file_gets_its_own_directories() {
        let of = |path: &str| directories(Some(Path::new(path)));
        assert_eq!(directories(None).0, "/run/evenkeel");
        assert_eq!(of("/var/run/keepalived.pid").1, "/sys/fs/bpf/evenkeel");
        assert_eq!(of("/run/other.pid").0, "/run/evenkeel-other");
    }
}
