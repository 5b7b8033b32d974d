//! `evenkeel run`: a director.

use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use model::control::{Runtime, XdpMode as Mode};
use tracing_subscriber::fmt::time::SystemTime;

use crate::cli::{Role, RunArgs, XdpMode};
use crate::load::{self, Files};
use crate::log_lines::LogLines;
use crate::supervisor::{self, Habits, Notifier, Options};

/// Set in the process that went to the background: its inherited descriptor says it is ready.
const BACKGROUND: &str = "EVENKEEL_BACKGROUND";

/// Everything that a command line says about one run, whichever program's command line it is.
pub(crate) struct Settings {
    /// What to read.
    pub(crate) files: Files,
    /// Directories and modes of this run.
    pub(crate) runtime: Runtime,
    /// Waits before every restart of a role, for rehearsals.
    pub(crate) restart_delays: Vec<(Role, Duration)>,
    /// What is logged, and where.
    pub(crate) log: Log,
    /// Whether to leave the terminal.
    pub(crate) background: Background,
    /// Log the Plan at start.
    pub(crate) dump_configuration: bool,
    /// The habits of another program that it takes over.
    pub(crate) habits: Habits,
    /// The files may define nothing.
    pub(crate) by_hand: bool,
}

/// Whether to leave the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Background {
    /// If haproxy.cfg says `daemon`.
    AsConfigured,
    /// Unless systemd waits for us.
    Always,
    /// In no case.
    Never,
}

/// What is logged, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log {
    /// Debugging messages too.
    pub(crate) verbose: bool,
    /// Where it goes while in the foreground.
    pub(crate) to: LogTo,
    /// Syslog facility (RFC 3164 4.1.1) and name in the background.
    pub(crate) facility: u8,
    /// Name of the program in syslog.
    pub(crate) name: &'static str,
}

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogTo {
    /// To standard error.
    StandardError,
    /// To syslog.
    Syslog,
    /// Nowhere.
    Nowhere,
}

/// Runs until stopped. Exit code 0 after an orderly stop.
pub(crate) fn run(args: &RunArgs) -> ExitCode {
    let by_hand_alone = args.by_hand && args.files.names_none();
    let found = match by_hand_alone {
        true => Ok(Files::of(Vec::new())),
        false => Files::from_args(&args.files),
    };
    let files = match found {
        Ok(files) => files.with_vrrp(args.standby, args.priority_offset),
        Err(error) => return super::fail(&error),
    };
    go(Settings {
        files,
        runtime: Runtime {
            directory: args.runtime.runtime_dir.clone(),
            pin_directory: args.pin_dir.clone(),
            xdp_mode: match args.xdp {
                XdpMode::Auto => Mode::Auto,
                XdpMode::Native => Mode::Native,
                XdpMode::Generic => Mode::Generic,
                XdpMode::Tc => Mode::Tc,
            },
            connections_max: args.connections,
            connections6_max: args.connections6,
        },
        restart_delays: args.restart_delay.clone(),
        log: Log {
            verbose: args.verbose > 0,
            to: LogTo::StandardError,
            facility: FACILITY_DAEMON,
            name: "evenkeel",
        },
        background: if args.foreground { Background::Never } else { Background::AsConfigured },
        dump_configuration: false,
        habits: Habits {
            pid_names: Habits::PID_NAMES.to_vec(),
            pid_names_on_demand: true,
            ..Habits::default()
        },
        by_hand: args.by_hand,
    })
}

/// Syslog's number of daemons (RFC 3164 4.1.1).
pub(crate) const FACILITY_DAEMON: u8 = 3;

/// Loads, starts and serves until stopped.
pub(crate) fn go(settings: Settings) -> ExitCode {
    let log = start_log(&settings.log);
    let loaded = load::load(&settings.files);
    if loaded.plan.as_ref().is_some_and(|plan| plan.has_keepalived) {
        become_keepalived();
    }
    let in_background = std::env::var_os(BACKGROUND).is_some();
    if in_background {
        // Before the roles start: they belong to the session, too.
        let _ = rustix::process::setsid();
    }
    let text = loaded.render(super::colours(&io::stderr()));
    // The process that started this one has said it already.
    if !text.is_empty() && !in_background {
        eprintln!("{}", text.trim_end());
    }
    let Some(plan) = &loaded.plan else {
        return super::fail(&format!("the configuration does not load: {}", loaded.summary));
    };
    let notifier = Notifier::from_environment();
    let leave = match settings.background {
        Background::AsConfigured => plan.proxy.process.daemon,
        Background::Always => true,
        Background::Never => false,
    };
    if settings.dump_configuration && !in_background {
        match serde_json::to_string_pretty(plan) {
            Ok(text) => tracing::info!("the configuration:\n{text}"),
            Err(error) => tracing::warn!("the configuration cannot be shown: {error}"),
        }
    }
    if leave && !notifier.present() && !in_background {
        return go_to_background();
    }
    if plan.is_idle() && !settings.by_hand {
        return super::fail(
            "nothing to run: the files define no vrrp_instance, no virtual_server and no frontend",
        );
    }
    let mut habits = settings.habits;
    let mut runtime = settings.runtime;
    habits.settle(&plan.global, &mut runtime);
    habits.pid_files.extend(plan.proxy.process.pid_file.iter().map(|path| (None, path.into())));
    let options = Options {
        files: settings.files,
        runtime,
        restart_delays: settings.restart_delays,
        background: in_background,
        habits,
        by_hand: settings.by_hand,
    };
    let starter = if in_background {
        match edge::process::inherited(edge::process::CHANNEL) {
            Ok(descriptor) => Some(UnixStream::from(descriptor)),
            Err(error) => return super::fail(&format!("cannot go to the background: {error}")),
        }
    } else {
        None
    };
    let on_ready = Box::new(move || {
        if let Some(starter) = starter {
            settle_in_background(starter, &log);
        }
    });
    // Listeners of the proxy. Not before: this program may have started itself again until here.
    edge::privileges::raise_descriptors();
    let ended = supervisor::run(options, loaded, notifier, on_ready);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if !rustix::process::geteuid().is_root() => super::fail(&format!(
            "{error}; a director needs root, or the capabilities of its systemd unit"
        )),
        Err(error) => super::fail(&error),
    }
}

/// `killall -0 keepalived` and `pidof keepalived` in somebody's script must go on working, so the
/// program takes that name: argv[0] by executing itself again, once, and then the short name.
fn become_keepalived() {
    if std::env::args_os().next().is_none_or(|name| name != KEEPALIVED) {
        let error = Command::new("/proc/self/exe")
            .arg0(KEEPALIVED)
            .args(std::env::args_os().skip(1))
            .exec();
        eprintln!("evenkeel: cannot take the name {KEEPALIVED}: {error}");
    }
    edge::process::set_name(KEEPALIVED);
}

/// The name of a supervisor that has read a keepalived.conf.
const KEEPALIVED: &str = "keepalived";

/// Log lines go to standard error; under systemd without a time, which the journal adds.
fn start_log(to: &Log) -> LogLines {
    let level = if to.verbose { tracing::Level::DEBUG } else { tracing::Level::INFO };
    let lines = LogLines::new(to.facility, to.name);
    match to.to {
        LogTo::StandardError => {}
        LogTo::Syslog => lines.to_syslog(),
        LogTo::Nowhere => lines.to_nobody(),
    }
    let writer = lines.clone();
    let log = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(super::colours(&io::stderr()))
        .with_target(false)
        .with_max_level(level);
    if std::env::var_os("JOURNAL_STREAM").is_some() && !io::stderr().is_terminal() {
        log.without_time().init();
    } else {
        log.with_timer(SystemTime).init();
    }
    lines
}

/// Starts the same program again and waits until it is ready or gave up: its exit code is ours.
fn go_to_background() -> ExitCode {
    let start = || -> io::Result<ExitCode> {
        let (mut ready, theirs) = UnixStream::pair()?;
        let mut command = Command::new("/proc/self/exe");
        let name = std::env::args_os().next().unwrap_or_else(|| "evenkeel".into());
        command.arg0(name).args(std::env::args_os().skip(1)).env(BACKGROUND, "1");
        // What goes wrong before it is ready is still seen here, on standard error.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        edge::process::with_channel(&mut command, theirs.into())?;
        let mut child = command.spawn()?;
        drop(command);
        if ready.read(&mut [0])? > 0 {
            return Ok(ExitCode::SUCCESS);
        }
        let status = child.wait()?;
        Ok(status.code().map_or(ExitCode::FAILURE, |code| ExitCode::from(code as u8)))
    };
    start().unwrap_or_else(|error| super::fail(&format!("cannot go to the background: {error}")))
}

/// Tells the process that started this one, and from now on logs to syslog.
fn settle_in_background(mut starter: UnixStream, log: &LogLines) {
    log.to_syslog();
    if let Ok(nowhere) = std::fs::File::options().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stderr(&nowhere);
    }
    let _ = starter.write_all(b"1");
}
