//! `evenkeel lab`: the configuration rehearsed in network namespaces.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clap::Args;
use edge::signal::Signals;
use lab::{ConfigFile, LabOptions, Report};
use rustix::event::{PollFd, PollFlags, poll};

use crate::cli::FileArgs;
use crate::load::{self, Files};

/// SIGHUP, SIGINT and SIGTERM: the end, in order.
const ENDING_SIGNALS: [i32; 3] = [1, 2, 15];

/// `evenkeel lab`
#[derive(Debug, Args)]
pub(crate) struct LabArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
    /// The whole report as JSON, on standard output; progress goes to standard error.
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep the directors' logs in this directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) logs: Option<PathBuf>,
    /// Append one line to this file, for a table of several rehearsals.
    #[arg(long, value_name = "FILE")]
    pub(crate) summary: Option<PathBuf>,
}

/// Exit code 0 when everything that was expected happened, 1 when not.
pub(crate) fn lab(args: &LabArgs) -> ExitCode {
    let stop = match stop_on_signals() {
        Ok(stop) => stop,
        Err(error) => return super::fail(&format!("cannot wait for signals: {error}")),
    };
    let files = match Files::from_args(&args.files) {
        Ok(files) => files,
        Err(error) => return super::fail(&error),
    };
    let loaded = load::load(&files);
    let findings = loaded.render(super::colours(&io::stderr()));
    if !findings.is_empty() {
        eprintln!("{}", findings.trim_end());
    }
    let Some(plan) = loaded.plan else {
        return super::fail("the configuration has errors: there is nothing to rehearse");
    };
    let executable = match std::env::current_exe() {
        Ok(executable) => executable,
        Err(error) => return super::fail(&format!("cannot find this program's file: {error}")),
    };
    let options = LabOptions { executable, stop, logs: args.logs.clone() };
    let mut progress: Box<dyn Write> =
        if args.json { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
    let report = match lab::run(&plan, &named(&args.files, &files), &options, &mut progress) {
        Ok(report) => report,
        Err(error) => return super::fail(&format!("lab: {error}")),
    };
    match publish(args, &report) {
        Ok(()) if report.passed => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => super::fail(&format!("lab: cannot write the report: {error}")),
    }
}

fn publish(args: &LabArgs, report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, report)?;
        writeln!(out)?;
    } else {
        report.print(&mut out)?;
    }
    if let Some(path) = &args.summary {
        let mut table = File::options().create(true).append(true).open(path)?;
        if table.metadata()?.len() == 0 {
            writeln!(table, "{}", Report::summary_heading())?;
        }
        let first = report.files.first().map(Path::new).and_then(Path::file_stem);
        let name = first.unwrap_or_default().to_string_lossy().into_owned();
        writeln!(table, "{}", report.summary_line(&name))?;
    }
    Ok(())
}

/// The files with the options that `evenkeel run` needs to read them the same way.
fn named(args: &FileArgs, files: &Files) -> Vec<ConfigFile> {
    let with = |option, paths: &[String]| -> Vec<ConfigFile> {
        paths.iter().map(|path| ConfigFile { option, path: path.into() }).collect()
    };
    let mut all = with("-f", &args.positional);
    all.extend(with("-f", &args.files));
    all.extend(with("--keepalived", &args.keepalived));
    all.extend(with("--haproxy", &args.haproxy));
    if all.is_empty() { with("-f", &files.names()) } else { all }
}

/// A flag that the first of the ending signals sets. Threads and children started from now on
/// are not interrupted by them.
fn stop_on_signals() -> io::Result<&'static AtomicBool> {
    static STOP: AtomicBool = AtomicBool::new(false);
    let mut signals = Signals::blocked(&ENDING_SIGNALS)?;
    thread::spawn(move || {
        loop {
            let _ = poll(&mut [PollFd::new(&signals, PollFlags::IN)], None);
            match signals.arrived() {
                Ok(Some(_)) | Err(_) => break,
                Ok(None) => {}
            }
        }
        STOP.store(true, Ordering::Relaxed);
    });
    Ok(&STOP)
}
