//! The command line, as data.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Keeps services up: VRRP failover, health checks, layer-4 and layer-7 load balancing.
///
/// Evenkeel reads keepalived.conf and haproxy.cfg as they are and does the work of Keepalived,
/// Linux Virtual Server and HAProxy in one program.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, propagate_version = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a director: hold virtual addresses, check servers, balance.
    Run(RunArgs),
    /// Check configuration files, together, and say everything that is wrong with them.
    Check(CheckArgs),
    /// Look at this machine as the configuration needs it: interfaces, kernel parameters, kernel,
    /// other programs; name what does not fit, and the command that mends it.
    Doctor(DoctorArgs),
    /// Show the live state of the running director.
    Status(StatusArgs),
    /// Say what a reload would change and what it would drop, without doing it.
    Plan(PlanArgs),
    /// Make the running director read its files again and apply what changed.
    Reload(ReloadArgs),
    /// Take real servers out of service and back, change their weights, add and delete them:
    /// without a reload.
    Server(ServerArgs),
    /// Show what happened: health, quorum, VRRP, reloads, changes at run time.
    Events(EventsArgs),
    /// Show the layer-4 tables and change them by hand: ipvsadm's command line.
    #[command(disable_help_flag = true)]
    Ipvsadm {
        /// `-Ln`, `-A -t 192.0.2.1:80 -s wlc`, and what `evenkeel ipvsadm --help` lists; besides
        /// `--runtime-dir DIR`, and `--json` for listings.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
        words: Vec<OsString>,
    },
    /// Say what the data plane would do with a packet, step by step.
    Explain(crate::commands::explain::ExplainArgs),
    /// Show which packets get which firewall mark, by the machine's own rules, and which services
    /// are of these marks.
    Marks(MarksArgs),
    /// Rehearse the configuration, failover included, in network namespaces on this machine.
    Lab(crate::commands::lab::LabArgs),
    /// Print the MD5 digest of a page, for HTTP_GET and SSL_GET: genhash's command line.
    #[command(disable_help_flag = true)]
    Genhash {
        /// `-s ADDRESS -p PORT -u PATH`, and what `evenkeel genhash --help` lists.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
        words: Vec<OsString>,
    },
    /// Explain a command, or a keyword of keepalived.conf or haproxy.cfg.
    Help {
        /// A command (`run`) or a keyword (`lb_algo`).
        topic: Vec<String>,
    },
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages.
    Manual {
        /// Directory to write them to.
        #[arg(long, value_name = "DIR")]
        output: PathBuf,
    },
    /// Write the reference of every keyword, from the tables the parsers use.
    #[command(hide = true)]
    Reference {
        /// Directory to write it to.
        #[arg(long, value_name = "DIR")]
        output: PathBuf,
    },
    /// One role of a running Evenkeel: started by its supervisor, on descriptor 3.
    #[command(hide = true)]
    Role {
        /// Which one.
        role: Role,
    },
}

/// Which files to read. Without any: /etc/evenkeel/*.conf and *.cfg, or else
/// /etc/keepalived/keepalived.conf and /etc/haproxy/haproxy.cfg.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct FileArgs {
    /// Configuration files of either language, told apart by their content.
    #[arg(value_name = "FILE")]
    pub(crate) positional: Vec<String>,
    /// The same (may be given several times).
    #[arg(short = 'f', long = "file", value_name = "FILE", num_args = 1..)]
    pub(crate) files: Vec<String>,
    /// A file in Keepalived's language, whatever it looks like.
    #[arg(long, value_name = "FILE")]
    pub(crate) keepalived: Vec<String>,
    /// A file in HAProxy's language, whatever it looks like.
    #[arg(long, value_name = "FILE")]
    pub(crate) haproxy: Vec<String>,
    /// What `@ID` lines of a keepalived.conf are compared with; the host name up to the first
    /// dot otherwise.
    #[arg(short = 'i', long, value_name = "ID")]
    pub(crate) config_id: Option<String>,
}

impl FileArgs {
    /// The command line names no file.
    pub(crate) fn names_none(&self) -> bool {
        let FileArgs { positional, files, keepalived, haproxy, config_id: _ } = self;
        [positional, files, keepalived, haproxy].iter().all(|names| names.is_empty())
    }
}

/// Where a running Evenkeel keeps its sockets.
#[derive(Clone, Debug, Args)]
pub(crate) struct RuntimeArgs {
    /// Directory of the control socket.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/run/evenkeel",
        env = "EVENKEEL_RUNTIME_DIR"
    )]
    pub(crate) runtime_dir: String,
}

/// `evenkeel run`
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
    #[command(flatten)]
    pub(crate) runtime: RuntimeArgs,
    /// Directory on a BPF file system where XDP programs and their tables are pinned, so that
    /// forwarding outlives this process.
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/evenkeel")]
    pub(crate) pin_dir: String,
    /// How the forwarding program attaches to interfaces.
    #[arg(long, value_enum, default_value_t = XdpMode::Auto)]
    pub(crate) xdp: XdpMode,
    /// Room for so many layer-4 connections and persistence templates, 72 bytes each, rounded up to
    /// a power of two. Counts when the table is made: after an orderly stop, or at first.
    #[arg(long, value_name = "N", default_value_t = director::xdp::CONNECTIONS_DEFAULT)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    pub(crate) connections: u32,
    /// Run although the files define nothing: virtual servers are added with ipvsadm. Without files
    /// on the command line none are read.
    #[arg(long)]
    pub(crate) by_hand: bool,
    /// The same for IPv6, 144 bytes each. The table is made with the first virtual server of IPv6.
    #[arg(long, value_name = "N", default_value_t = director::xdp::CONNECTIONS6_DEFAULT)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    pub(crate) connections6: u32,
    /// Stay in the foreground even if haproxy.cfg says `daemon`.
    #[arg(long)]
    pub(crate) foreground: bool,
    /// Be the second director with the first one's files: every VRRP priority 10 lower, and
    /// `state BACKUP`.
    #[arg(long)]
    pub(crate) standby: bool,
    /// Add this to every VRRP priority (kept within 1 to 254).
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority_offset: i16,
    /// Wait before a role that died is started again, for rehearsals: `director=15`.
    #[arg(long, value_name = "ROLE=SECONDS", value_parser = restart_delay)]
    pub(crate) restart_delay: Vec<(Role, Duration)>,
    /// Say more: -v for debugging.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// `evenkeel check`
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
    /// How to print what is found.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// `evenkeel doctor`
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
    /// Mend what can be mended while everything runs (kernel parameters, offloads), and say how to
    /// keep it.
    #[arg(long)]
    pub(crate) fix: bool,
    /// How to print what is found.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// `evenkeel status`
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// One virtual server alone: `192.0.2.1:80`, `TCP 192.0.2.1:80`, `group web`.
    #[arg(value_name = "VIRTUAL", num_args = 1..=3)]
    pub(crate) virtual_server: Vec<String>,
    #[command(flatten)]
    pub(crate) runtime: RuntimeArgs,
    /// Everything, as JSON; of one virtual server what stands under `director` otherwise.
    #[arg(long)]
    pub(crate) json: bool,
    /// Every checker and the last changes of each real server too.
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// `evenkeel plan`
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
    #[command(flatten)]
    pub(crate) runtime: RuntimeArgs,
    /// The changes, as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `evenkeel reload`
#[derive(Debug, Args)]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    pub(crate) runtime: RuntimeArgs,
}

/// `evenkeel events`
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub(crate) runtime: RuntimeArgs,
    /// One JSON object per line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Go on with what happens from now on, until interrupted.
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// `evenkeel server`
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ServerCommand>,
    #[command(flatten)]
    pub(crate) common: ServerCommon,
}

/// What every `evenkeel server` command takes, before or after its name.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServerCommon {
    #[command(flatten)]
    pub(crate) runtime: RuntimeArgs,
    /// The answer as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// A virtual server and one of its real servers: `192.0.2.1:80 10.0.0.1:80`,
/// `TCP 192.0.2.1:80 10.0.0.1` or `group web 10.0.0.1:80`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServerName {
    /// The virtual server (`192.0.2.1:80`, `TCP 192.0.2.1:80`, `group web`), then the real server
    /// (`10.0.0.1:80`, or `10.0.0.1` where that says enough).
    #[arg(value_names = ["VIRTUAL", "REAL"], num_args = 2..=4, required = true)]
    pub(crate) names: Vec<String>,
}

/// What `evenkeel server` does. Without any: `list`.
#[derive(Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// Give a server no new connections (weight 0); it keeps those it has.
    Drain {
        #[command(flatten)]
        name: ServerName,
        /// Cut off what is left after this time: `30s`, `5m`, `1h`.
        #[arg(long, value_name = "TIME", value_parser = time_span)]
        within: Option<Duration>,
        /// Wait until its connections have ended, and say how many are left.
        #[arg(long)]
        wait: bool,
    },
    /// Take back a drain, a weight and a deletion: as the file says.
    Ready {
        #[command(flatten)]
        name: ServerName,
    },
    /// Give a server another weight than the file's.
    Weight {
        /// The virtual server, the real server as for `drain`, and the weight, 0 to 65535.
        #[arg(value_names = ["VIRTUAL", "REAL", "WEIGHT"], num_args = 3..=5, required = true)]
        words: Vec<String>,
    },
    /// Add a server that the file does not have, without checkers.
    Add {
        #[command(flatten)]
        name: ServerName,
        /// Its weight, 0 to 65535.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=65535))]
        weight: u32,
        /// How packets reach it; as those of the virtual server's other servers when absent.
        #[arg(long, value_enum)]
        forwarding: Option<ForwardingWord>,
    },
    /// Take a server out of the tables at once, one of the file's too.
    Del {
        #[command(flatten)]
        name: ServerName,
    },
    /// Take back everything that was changed at run time, ipvsadm's changes too: of a real server,
    /// of a virtual server, or of all.
    Reset {
        /// The virtual server and the real server as for `drain`, or the virtual server alone.
        #[arg(value_names = ["VIRTUAL", "REAL"], num_args = 0..=4)]
        names: Vec<String>,
    },
    /// Show what is changed at run time.
    List,
}

/// How packets reach a real server, in keepalived.conf's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ForwardingWord {
    /// Both addresses are translated back and forth.
    Nat,
    /// Direct routing: the server answers the client itself.
    Dr,
    /// In a tunnel of type ipip: the server answers the client itself.
    Tun,
}

/// `evenkeel marks`
#[derive(Debug, Args)]
pub(crate) struct MarksArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
    #[command(flatten)]
    pub(crate) runtime: RuntimeArgs,
    /// Rules of this file instead of the machine's, as iptables-save, ip6tables-save or
    /// `nft -j list ruleset` write them, with the configuration's files.
    #[arg(long, value_name = "FILE")]
    pub(crate) firewall: Option<PathBuf>,
    /// As one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

/// How the forwarding program attaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum XdpMode {
    /// In the driver (native XDP) where all drivers can, at tc otherwise.
    Auto,
    /// In the driver only.
    Native,
    /// In the kernel's generic XDP only.
    Generic,
    /// At tc only.
    Tc,
}

/// The roles of the executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Role {
    /// Programs, files and pipes on behalf of VRRP.
    Helper,
    /// VRRP and nothing else.
    Vrrp,
    /// Checkers and layer-4 tables.
    Director,
    /// The layer-7 proxy.
    Proxy,
}

impl Role {
    /// Every role, in the order they are configured.
    pub(crate) const ALL: [Role; 4] = [Role::Helper, Role::Vrrp, Role::Director, Role::Proxy];

    /// Its name on the command line and in log lines.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Role::Helper => "helper",
            Role::Vrrp => "vrrp",
            Role::Director => "director",
            Role::Proxy => "proxy",
        }
    }
}

fn restart_delay(text: &str) -> Result<(Role, Duration), String> {
    let (role, seconds) = text.split_once('=').ok_or("write ROLE=SECONDS, such as director=15")?;
    let role = Role::from_str(role, false)
        .map_err(|_| format!("{role:?} is no role: helper, vrrp, director or proxy"))?;
    let seconds = seconds.parse::<f64>().ok().and_then(|one| Duration::try_from_secs_f64(one).ok());
    Ok((role, seconds.ok_or("the delay is a number of seconds")?))
}

/// `30`, `30s`, `500ms`, `5m`, `1h`
fn time_span(text: &str) -> Result<Duration, String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("{text:?} is no time; write 30s, 5m or 1h");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(wrong()),
    };
    milliseconds
        .filter(|it| *it <= SPAN_MAX)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text} is longer than a drain may take (a week)"))
}

/// A week, in milliseconds.
const SPAN_MAX: u64 = 7 * 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_restart_delay_names_a_role_and_seconds() {
        assert_eq!(restart_delay("director=15"), Ok((Role::Director, Duration::from_secs(15))));
        assert!(restart_delay("director").is_err());
        assert!(restart_delay("waiter=1").is_err());
        assert!(restart_delay("proxy=-1").is_err());
    }

    #[test]
    fn a_time_has_a_unit_and_a_bound() {
        assert_eq!(time_span("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(time_span("30"), Ok(Duration::from_secs(30)));
        assert_eq!(time_span("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(time_span("5ms"), Ok(Duration::from_millis(5)));
        assert_eq!(time_span("169h").unwrap_err(), "169h is longer than a drain may take (a week)");
        for text in ["", "s", "soon", "-1s", "99999999999999999999h", "3x"] {
            assert!(time_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn status_takes_a_virtual_server_in_up_to_three_words() {
        let words = |line: &str| match Cli::try_parse_from(line.split_whitespace())?.command {
            Command::Status(args) => Ok(args.virtual_server.len()),
            _ => panic!("another command"),
        };
        let parsed = |line: &str| words(line).map_err(|error: clap::Error| error.kind());
        assert_eq!(parsed("evenkeel status --json"), Ok(0));
        assert_eq!(parsed("evenkeel status TCP 192.0.2.1:80 -v"), Ok(2));
        assert_eq!(parsed("evenkeel status UDP group dns"), Ok(3));
        assert!(parsed("evenkeel status TCP group web 10.0.0.1").is_err());
    }

    #[test]
    fn names_of_servers_are_two_to_four_words() {
        let parse =
            |line: &str| Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command);
        assert!(parse("evenkeel server").is_ok());
        assert!(parse("evenkeel server --json").is_ok());
        assert!(
            parse("evenkeel server drain 192.0.2.1:80 10.0.0.1:80 --within 30s --wait").is_ok()
        );
        assert!(parse("evenkeel server ready TCP 192.0.2.1:80 10.0.0.1").is_ok());
        assert!(parse("evenkeel server weight group web 10.0.0.1 5").is_ok());
        assert!(parse("evenkeel server del 10.0.0.1").is_err());
    }
}
