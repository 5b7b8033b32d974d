//! Keepalived's command line (keepalived(8)).

use std::path::PathBuf;

use clap::{ArgAction, Parser};

/// Keepalived's command line, served by Evenkeel.
#[derive(Debug, Parser)]
#[command(
    name = "keepalived",
    version = concat!("(Evenkeel ", env!("CARGO_PKG_VERSION"), ")"),
    disable_version_flag = true,
    disable_help_flag = true,
    about = "Keepalived's command line, served by Evenkeel. See also: evenkeel help"
)]
pub(crate) struct Options {
    /// Use the specified configuration file
    #[arg(
        short = 'f',
        long = "use-file",
        value_name = "FILE",
        default_value = "/etc/keepalived/keepalived.conf"
    )]
    pub(crate) file: String,
    /// Only run VRRP
    #[arg(short = 'P', long)]
    pub(crate) vrrp: bool,
    /// Only run health checks and layer-4 balancing
    #[arg(short = 'C', long)]
    pub(crate) check: bool,
    /// Do not run BFD
    #[arg(short = 'B', long = "no_bfd")]
    pub(crate) no_bfd: bool,
    /// Accepted: roles without configuration cost nothing and are not started
    #[arg(long)]
    pub(crate) all: bool,
    /// Log to standard error
    #[arg(short = 'l', long = "log-console")]
    pub(crate) log_console: bool,
    /// Log in detail
    #[arg(short = 'D', long = "log-detail")]
    pub(crate) log_detail: bool,
    /// Syslog facility: 0 to 7, local0 to local7, user or daemon
    #[arg(short = 'S', long = "log-facility", value_name = "FACILITY", value_parser = facility)]
    pub(crate) log_facility: Option<u8>,
    /// Do not log to syslog
    #[arg(short = 'G', long = "no-syslog")]
    pub(crate) no_syslog: bool,
    /// File mode mask, as umask(2) takes it
    #[arg(short = 'u', long, value_name = "MASK", value_parser = mask)]
    pub(crate) umask: Option<u32>,
    /// Drop virtual addresses when a signal ends the program, the default
    #[arg(short = 'X', long = "release-vips")]
    pub(crate) release_addresses: bool,
    /// Leave virtual addresses and routes in place at the end
    #[arg(short = 'V', long = "dont-release-vrrp")]
    pub(crate) keep_addresses: bool,
    /// Leave layer-4 balancing in place at the end
    #[arg(short = 'I', long = "dont-release-ipvs")]
    pub(crate) keep_forwarding: bool,
    /// End when a role ends, instead of starting it again
    #[arg(short = 'R', long = "dont-respawn")]
    pub(crate) no_respawn: bool,
    /// Stay in the foreground
    #[arg(short = 'n', long = "dont-fork")]
    pub(crate) foreground: bool,
    /// Log the configuration at start, as JSON
    #[arg(short = 'd', long = "dump-conf")]
    pub(crate) dump_configuration: bool,
    /// Pid file of the program
    #[arg(short = 'p', long = "pid", value_name = "FILE")]
    pub(crate) pid: Option<PathBuf>,
    /// Pid file of the vrrp role
    #[arg(short = 'r', long = "vrrp_pid", value_name = "FILE")]
    pub(crate) vrrp_pid: Option<PathBuf>,
    /// Pid file of the director role
    #[arg(short = 'c', long = "checkers_pid", value_name = "FILE")]
    pub(crate) checkers_pid: Option<PathBuf>,
    /// Accepted: BFD runs in the vrrp role, so there is no process of its own
    #[arg(short = 'b', long = "bfd_pid", value_name = "FILE")]
    pub(crate) bfd_pid: Option<PathBuf>,
    /// Accepted: changes of addresses that concern us are always followed and logged
    #[arg(short = 'a', long = "address-monitoring")]
    pub(crate) address_monitoring: bool,
    /// Not there: use `evenkeel status --json`
    #[arg(short = 'x', long)]
    pub(crate) snmp: bool,
    /// Not there: use `evenkeel status --json`
    #[arg(short = 'A', long = "snmp-agent-socket", value_name = "FILE")]
    pub(crate) snmp_socket: Option<String>,
    /// Run in this network namespace
    #[arg(short = 's', long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Let the kernel write a core file after a crash
    #[arg(short = 'm', long = "core-dump")]
    pub(crate) core_dump: bool,
    /// Not there: set /proc/sys/kernel/core_pattern yourself
    #[arg(short = 'M', long = "core-dump-pattern", value_name = "PATTERN", num_args = 0..=1,
          require_equals = true, default_missing_value = "core")]
    pub(crate) core_pattern: Option<String>,
    /// A configuration file that an include does not find is an error
    #[arg(short = 'e', long = "all-config")]
    pub(crate) all_files: bool,
    /// Read lines that begin with @ID, and those that begin with another @^ID (default: the host's
    /// name)
    #[arg(short = 'i', long = "config-id", value_name = "ID")]
    pub(crate) config_id: Option<String>,
    /// Print the number of the signal for STOP, RELOAD, DATA, STATS, STATS_CLEAR or JSON
    #[arg(long, value_name = "FUNCTION")]
    pub(crate) signum: Option<String>,
    /// Check the configuration; what is found goes to standard error, or to a file
    #[arg(short = 't', long = "config-test", value_name = "FILE", num_args = 0..=1,
          require_equals = true, default_missing_value = "")]
    pub(crate) test: Option<String>,
    /// Show the version
    #[arg(short = 'v', long, action = ArgAction::SetTrue)]
    pub(crate) version: bool,
    /// Show this help
    #[arg(short = 'h', long, action = ArgAction::Help)]
    pub(crate) help: Option<bool>,
}

/// Number of a syslog facility (RFC 3164 4.1.1).
fn facility(text: &str) -> Result<u8, String> {
    const LOCAL0: u8 = 16;
    match text {
        "user" => return Ok(1),
        "daemon" => return Ok(3),
        _ => {}
    }
    let number = text.strip_prefix("local").unwrap_or(text);
    match number.parse::<u8>() {
        Ok(number @ 0..=7) => Ok(LOCAL0 + number),
        Ok(_) | Err(_) => Err("write 0 to 7, local0 to local7, user or daemon".into()),
    }
}

/// A mask in the usual octal form.
fn mask(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mask) if mask <= 0o777 => Ok(mask),
        Ok(_) | Err(_) => Err("write an octal mask of at most 777".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(words: &str) -> Options {
        Options::try_parse_from(words.split_whitespace()).unwrap()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn the_usual_unit_files_command_lines_are_understood() {
        let options = parse("keepalived --dont-fork --log-console --log-detail -p /run/k.pid");
        assert!(options.foreground && options.log_console && options.log_detail);
        assert_eq!(options.file, "/etc/keepalived/keepalived.conf");
        let options = parse("keepalived -D -S 7 -f /etc/k.conf -P -r/run/v.pid -u 022");
        assert_eq!((options.log_facility, options.umask), (Some(23), Some(0o22)));
        assert_eq!(options.vrrp_pid, Some("/run/v.pid".into()));
        assert!(options.vrrp && !options.check);
    }

    #[test]
    fn the_file_of_a_test_is_glued_to_its_option() {
        assert_eq!(parse("keepalived -t -f x").test.as_deref(), Some(""));
        assert_eq!(parse("keepalived --config-test=/tmp/log").test.as_deref(), Some("/tmp/log"));
        assert_eq!(parse("keepalived -t=/tmp/log").test.as_deref(), Some("/tmp/log"));
    }

    #[test]
    fn facilities_and_masks_have_their_ranges() {
        assert_eq!(facility("local3"), Ok(19));
        assert_eq!(facility("daemon"), Ok(3));
        assert!(facility("8").is_err() && facility("kern").is_err());
        assert!(mask("1000").is_err() && mask("9").is_err());
    }
}
