//! ipvsadm's options: what was typed, then what it means.

use std::net::{IpAddr, Ipv4Addr};

use model::layer4::{Forwarding, Protocol, ServiceKey, Tunnel};
use model::vrrp::Family;

use super::names::{self, Address};
use super::popt::{Reader, Row, Value};
use super::{FAILED, MISUSED, legal};
use crate::manual::{Mask, Server, ServiceSettings};

/// Longest persistence and time-out, 31 days.
const TIMEOUT_MAX: i64 = 86_400 * 31;
/// Persistence of `-p` alone. (The manual page says 300.)
const PERSISTENCE_DEFAULT: u32 = 360;
const SCHEDULER_DEFAULT: &str = "wlc";

/// What is to be done: the first option of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    AddService,
    EditService,
    DeleteService,
    Clear,
    List,
    AddServer,
    EditServer,
    DeleteServer,
    SetTimeouts,
    StartDaemon,
    StopDaemon,
    Restore,
    Save,
    Zero,
}

impl Command {
    /// In complaints.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Command::AddService => "add-service",
            Command::EditService => "edit-service",
            Command::DeleteService => "delete-service",
            Command::Clear => "flush",
            Command::List => "list",
            Command::AddServer => "add-server",
            Command::EditServer => "edit-server",
            Command::DeleteServer => "delete-server",
            Command::SetTimeouts => "set",
            Command::StartDaemon => "start-daemon",
            Command::StopDaemon => "stop-daemon",
            Command::Restore => "restore",
            Command::Save => "save",
            Command::Zero => "zero",
        }
    }
}

macro_rules! options {
    ($($option:ident $name:literal,)*) => {
        /// What may follow a command.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Opt { $($option,)* }

        impl Opt {
            /// In the order in which they are checked.
            pub(super) const ALL: [Opt; [$($name),*].len()] = [$(Opt::$option,)*];

            /// In complaints.
            pub(super) const fn name(self) -> &'static str {
                match self { $(Opt::$option => $name,)* }
            }
        }
    };
}

options! {
    Numeric "numeric",
    Connection "connection",
    Service "service-address",
    Scheduler "scheduler",
    Persistent "persistent",
    Netmask "netmask",
    Server "real-server",
    Forward "forwarding-method",
    Weight "weight",
    UpperThreshold "u-threshold",
    LowerThreshold "l-threshold",
    Multicast "mcast-interface",
    Timeout "timeout",
    Daemon "daemon",
    Statistics "stats",
    Rate "rate",
    Thresholds "thresholds",
    PersistentConnections "persistent-conn",
    NoSort "nosort",
    SyncId "syncid",
    Exact "exact",
    OnePacket "ops",
    Engine "pe",
    SchedulerFlags "sched-flags",
    MulticastGroup "mcast-group",
    MulticastPort "mcast-port",
    MulticastTtl "mcast-ttl",
    SyncLength "sync-maxlen",
    TunnelInfo "tun-info",
    TunnelType "tun-type",
    TunnelPort "tun-port",
    TunnelNoChecksum "tun-nocsum",
    TunnelChecksum "tun-csum",
    TunnelRemoteChecksum "tun-remcsum",
}

/// Which options were given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options(u64);

impl Options {
    pub(super) fn has(self, option: Opt) -> bool {
        self.0 & (1 << option as u64) != 0
    }

    fn set(&mut self, option: Opt) -> Result<(), End> {
        if self.has(option) {
            return Err(misused(format!("multiple '{}' options specified", option.name())));
        }
        self.0 |= 1 << option as u64;
        Ok(())
    }

    fn any(self, options: &[Opt]) -> bool {
        options.iter().any(|option| self.has(*option))
    }
}

/// A command line that nothing comes of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Help,
    Version,
    TryHelp,
    Failed { code: u8, text: String },
}

fn misused(text: impl Into<String>) -> End {
    End::Failed { code: MISUSED, text: text.into() }
}

#[derive(Clone, Copy, Debug)]
enum Tag {
    Command(Command),
    Help,
    Version,
    Service(Protocol),
    Mark,
    Forward(Forwarding),
    Ipv6,
    Sort,
    Flag(Opt),
    Value(Opt),
}

const fn row(long: &'static str, short: Option<char>, value: Value, tag: Tag) -> Row<Tag> {
    Row { long, short, value, tag }
}

const fn command(long: &'static str, short: char, command: Command) -> Row<Tag> {
    row(long, Some(short), Value::None, Tag::Command(command))
}

const fn flag(long: &'static str, short: Option<char>, option: Opt) -> Row<Tag> {
    row(long, short, Value::None, Tag::Flag(option))
}

const fn value(long: &'static str, short: Option<char>, option: Opt) -> Row<Tag> {
    row(long, short, Value::Required, Tag::Value(option))
}

const TUNNEL: Forwarding = Forwarding::Tunnel(Tunnel::IpIp);

const ROWS: &[Row<Tag>] = &[
    command("add-service", 'A', Command::AddService),
    command("edit-service", 'E', Command::EditService),
    command("delete-service", 'D', Command::DeleteService),
    command("clear", 'C', Command::Clear),
    command("list", 'L', Command::List),
    command("list", 'l', Command::List),
    command("zero", 'Z', Command::Zero),
    command("add-server", 'a', Command::AddServer),
    command("edit-server", 'e', Command::EditServer),
    command("delete-server", 'd', Command::DeleteServer),
    row("set", None, Value::None, Tag::Command(Command::SetTimeouts)),
    row("help", Some('h'), Value::None, Tag::Help),
    row("version", Some('v'), Value::None, Tag::Version),
    command("restore", 'R', Command::Restore),
    command("save", 'S', Command::Save),
    row("start-daemon", None, Value::Required, Tag::Command(Command::StartDaemon)),
    row("stop-daemon", None, Value::Required, Tag::Command(Command::StopDaemon)),
    row("tcp-service", Some('t'), Value::Required, Tag::Service(Protocol::Tcp)),
    row("udp-service", Some('u'), Value::Required, Tag::Service(Protocol::Udp)),
    row("sctp-service", None, Value::Required, Tag::Service(Protocol::Sctp)),
    row("fwmark-service", Some('f'), Value::Required, Tag::Mark),
    value("scheduler", Some('s'), Opt::Scheduler),
    row("persistent", Some('p'), Value::Optional, Tag::Value(Opt::Persistent)),
    value("netmask", Some('M'), Opt::Netmask),
    value("real-server", Some('r'), Opt::Server),
    row("masquerading", Some('m'), Value::None, Tag::Forward(Forwarding::Nat)),
    row("ipip", Some('i'), Value::None, Tag::Forward(TUNNEL)),
    row("gatewaying", Some('g'), Value::None, Tag::Forward(Forwarding::DirectRouting)),
    value("weight", Some('w'), Opt::Weight),
    value("u-threshold", Some('x'), Opt::UpperThreshold),
    value("l-threshold", Some('y'), Opt::LowerThreshold),
    flag("numeric", Some('n'), Opt::Numeric),
    flag("connection", Some('c'), Opt::Connection),
    value("mcast-interface", None, Opt::Multicast),
    value("syncid", None, Opt::SyncId),
    flag("timeout", None, Opt::Timeout),
    flag("daemon", None, Opt::Daemon),
    flag("stats", None, Opt::Statistics),
    flag("rate", None, Opt::Rate),
    flag("thresholds", None, Opt::Thresholds),
    flag("persistent-conn", None, Opt::PersistentConnections),
    flag("nosort", None, Opt::NoSort),
    row("sort", None, Value::None, Tag::Sort),
    flag("exact", Some('X'), Opt::Exact),
    row("ipv6", Some('6'), Value::None, Tag::Ipv6),
    flag("ops", Some('o'), Opt::OnePacket),
    value("pe", None, Opt::Engine),
    value("sched-flags", Some('b'), Opt::SchedulerFlags),
    value("mcast-group", None, Opt::MulticastGroup),
    value("mcast-port", None, Opt::MulticastPort),
    value("mcast-ttl", None, Opt::MulticastTtl),
    value("sync-maxlen", None, Opt::SyncLength),
    flag("tun-info", None, Opt::TunnelInfo),
    value("tun-type", None, Opt::TunnelType),
    value("tun-port", None, Opt::TunnelPort),
    flag("tun-nocsum", None, Opt::TunnelNoChecksum),
    flag("tun-csum", None, Opt::TunnelChecksum),
    flag("tun-remcsum", None, Opt::TunnelRemoteChecksum),
];

/// A command line that makes sense.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) command: Command,
    pub(super) options: Options,
    /// There where the command needs or takes one.
    pub(super) service: Option<ServiceKey>,
    pub(super) settings: ServiceSettings,
    pub(super) server: Option<Server>,
    /// Of `--set`: TCP, TCP after a FIN, UDP.
    pub(super) timeouts: [u32; 3],
}

/// What was typed so far.
struct Typed {
    options: Options,
    service: Option<ServiceKey>,
    /// A virtual server's address was an IPv6 one, or `-6` was said.
    ipv6: bool,
    settings: ServiceSettings,
    flags: Option<String>,
    server: Option<Address>,
    forwarding: Forwarding,
    tunnel: Tunnel,
    tunnel_port: u16,
    weight: u32,
    upper_threshold: u32,
    lower_threshold: u32,
}

/// Reads the words after the program's name.
pub(super) fn parse(words: &[String]) -> Result<Entry, End> {
    let mut reader = Reader::new(ROWS, words);
    let command = match reader.next() {
        Some(Ok((Tag::Command(command), state))) => {
            check_daemon(command, state)?;
            command
        }
        Some(Ok((Tag::Help, _))) => return Err(End::Help),
        Some(Ok((Tag::Version, _))) => return Err(End::Version),
        Some(Ok(_) | Err(_)) | None => return Err(End::TryHelp),
    };
    let mut typed = Typed::new();
    while let Some(next) = reader.next() {
        match next {
            Ok((tag, value)) => typed.take(tag, value.map(str::to_owned), reader.last_word())?,
            Err(mistake) => {
                let text = format!("{}: {}", reader.last_word(), mistake.words());
                return Err(End::Failed { code: FAILED, text });
            }
        }
    }
    let mut left = reader.left().iter().copied();
    let timeouts = match command {
        Command::SetTimeouts => set_timeouts(&mut left)?,
        _ => [0; 3],
    };
    if let Some(word) = left.next() {
        return Err(misused(format!("unexpected argument {word}")));
    }
    typed.split_flags()?;
    legal::check(command, typed.options).map_err(misused)?;
    typed.finish(command, timeouts)
}

fn check_daemon(command: Command, state: Option<&str>) -> Result<(), End> {
    match (command, state) {
        (Command::StartDaemon | Command::StopDaemon, Some("master" | "backup")) => Ok(()),
        (Command::StartDaemon, _) => Err(misused("illegal start-daemon parameter specified")),
        (Command::StopDaemon, _) => Err(misused("illegal start_daemon specified")),
        (_, _) => Ok(()),
    }
}

fn set_timeouts<'a>(left: &mut impl Iterator<Item = &'a str>) -> Result<[u32; 3], End> {
    let (Some(tcp), Some(tcp_fin), Some(udp)) = (left.next(), left.next(), left.next()) else {
        return Err(misused("--set option requires 3 timeout values"));
    };
    Ok([timeout(tcp, 0)?, timeout(tcp_fin, 0)?, timeout(udp, 0)?])
}

fn timeout(text: &str, least: i64) -> Result<u32, End> {
    number(text, least, TIMEOUT_MAX)
        .ok_or_else(|| misused(format!("invalid timeout value `{text}' specified")))
}

/// A number within bounds, as strtol(3) reads one.
pub(super) fn number(text: &str, least: i64, most: i64) -> Option<u32> {
    let text = text.trim_start();
    let digits = text.strip_prefix('+').unwrap_or(text);
    let value: i64 = if text.starts_with("+-") { None } else { digits.parse().ok() }?;
    u32::try_from(value).ok().filter(|_| (least..=most).contains(&value))
}

impl Typed {
    fn new() -> Typed {
        Typed {
            options: Options::default(),
            service: None,
            ipv6: false,
            settings: ServiceSettings {
                scheduler: String::new(),
                flags: Vec::new(),
                persistence: None,
                mask: None,
                one_packet: false,
                engine: None,
            },
            flags: None,
            server: None,
            forwarding: Forwarding::DirectRouting,
            tunnel: Tunnel::IpIp,
            tunnel_port: 0,
            weight: 1,
            upper_threshold: 0,
            lower_threshold: 0,
        }
    }

    fn take(&mut self, tag: Tag, value: Option<String>, word: &str) -> Result<(), End> {
        let text = value.as_deref().unwrap_or_default();
        match tag {
            Tag::Command(_) | Tag::Help | Tag::Version => {
                return Err(misused(format!("invalid option `{word}'")));
            }
            Tag::Service(protocol) => {
                self.options.set(Opt::Service)?;
                let found = names::address(text, protocol);
                let found = found
                    .ok_or_else(|| misused("illegal virtual server address[:port] specified"))?;
                self.ipv6 = found.address.is_ipv6();
                let (address, port) = (found.address, found.port.unwrap_or(0));
                self.service = Some(ServiceKey::Address { protocol, address, port });
            }
            Tag::Mark => {
                self.options.set(Opt::Service)?;
                let mark = number(text, 1, u32::MAX.into());
                let mark = mark
                    .ok_or_else(|| misused(format!("invalid fwmark value `{text}' specified")))?;
                self.service = Some(ServiceKey::Mark { mark, family: Family::Ipv4 });
            }
            Tag::Ipv6 => match &mut self.service {
                Some(ServiceKey::Mark { family, .. }) => {
                    (*family, self.ipv6) = (Family::Ipv6, true);
                }
                Some(ServiceKey::Address { .. }) | None => {
                    return Err(misused("-6 used before -f\n"));
                }
            },
            Tag::Forward(forwarding) => {
                self.options.set(Opt::Forward)?;
                self.forwarding = forwarding;
            }
            Tag::Sort => {}
            Tag::Flag(option) => {
                self.options.set(option)?;
                self.settings.one_packet |= option == Opt::OnePacket;
            }
            Tag::Value(option) => {
                self.options.set(option)?;
                self.take_value(option, value.as_deref(), text)?;
            }
        }
        Ok(())
    }

    fn take_value(&mut self, option: Opt, value: Option<&str>, text: &str) -> Result<(), End> {
        let count = |what: &str| {
            number(text, 0, i32::MAX.into())
                .ok_or_else(|| misused(format!("illegal {what} specified")))
        };
        let within = |most: i64, what: &str| {
            let least = if option == Opt::SyncId { 0 } else { 1 };
            number(text, least, most).ok_or_else(|| misused(format!("illegal {what} specified")))
        };
        match option {
            Opt::Scheduler => self.settings.scheduler = text.to_owned(),
            Opt::Persistent => {
                let seconds = value.map(|text| timeout(text, 1)).transpose()?;
                self.settings.persistence = Some(seconds.unwrap_or(PERSISTENCE_DEFAULT));
            }
            Opt::Netmask => self.settings.mask = Some(self.mask(text)?),
            Opt::Server => {
                let protocol = match self.service {
                    Some(ServiceKey::Address { protocol, .. }) => protocol,
                    Some(ServiceKey::Mark { .. }) | None => Protocol::Tcp,
                };
                let found = names::address(text, protocol);
                let found =
                    found.ok_or_else(|| misused("illegal real server address[:port] specified"))?;
                self.server = Some(found);
            }
            Opt::Weight => self.weight = count("weight")?,
            Opt::UpperThreshold => self.upper_threshold = count("u_threshold")?,
            Opt::LowerThreshold => self.lower_threshold = count("l_threshold")?,
            Opt::Engine => self.settings.engine = Some(text.to_owned()),
            Opt::SchedulerFlags => self.flags = Some(text.to_owned()),
            Opt::TunnelType => {
                self.tunnel = match text {
                    "ipip" => Tunnel::IpIp,
                    "gue" => Tunnel::Gue { port: 0, checksum: false },
                    "gre" => Tunnel::Gre { checksum: false },
                    _ => return Err(misused("illegal tunnel type specified")),
                };
            }
            Opt::TunnelPort => {
                self.tunnel_port = within(65_535, "tunnel port")? as u16;
            }
            Opt::SyncId => drop(within(255, "syncid")?),
            Opt::MulticastPort => drop(within(65_535, "mcast-port")?),
            Opt::MulticastTtl => drop(within(255, "mcast-ttl")?),
            Opt::SyncLength => drop(within(65_535 - 20 - 8, "sync-maxlen")?),
            Opt::MulticastGroup => multicast_group(text)?,
            // An interface: any word. The others have no value.
            _ => {}
        }
        Ok(())
    }

    fn mask(&self, text: &str) -> Result<Mask, End> {
        if self.ipv6 {
            let bits = number(text, 1, 128).map(|bits| Mask::V6(bits as u8));
            return bits.ok_or_else(|| misused("illegal ipv6 netmask specified"));
        }
        match names::host(text) {
            Some(IpAddr::V4(mask)) => Ok(Mask::V4(mask)),
            Some(IpAddr::V6(_)) | None => {
                Err(misused("illegal virtual server persistent mask specified"))
            }
        }
    }

    /// `-b`, which depends on `-s` wherever that stands.
    fn split_flags(&mut self) -> Result<(), End> {
        let Some(flags) = self.flags.take() else { return Ok(()) };
        let scheduler = match self.settings.scheduler.as_str() {
            "" => SCHEDULER_DEFAULT,
            scheduler => scheduler,
        };
        for flag in flags.split(',').filter(|flag| !flag.is_empty()) {
            let fits = match flag {
                "flag-1" | "flag-2" | "flag-3" => true,
                "sh-fallback" | "sh-port" => scheduler == "sh",
                "mh-fallback" | "mh-port" => scheduler == "mh",
                _ => return Err(misused(format!("invalid scheduler flag `{flag}'"))),
            };
            if !fits {
                return Err(misused(format!("incompatible scheduler flag `{flag}'")));
            }
            self.settings.flags.push(flag.to_owned());
        }
        Ok(())
    }

    fn finish(mut self, command: Command, timeouts: [u32; 3]) -> Result<Entry, End> {
        match command {
            Command::AddService | Command::EditService => self.check_service()?,
            Command::List => self.check_list()?,
            _ => {}
        }
        let server = match command {
            Command::AddServer | Command::EditServer => {
                self.check_forwarding()?;
                self.server(self.forwarding.is_direct())
            }
            Command::DeleteServer => self.server(false),
            _ => None,
        };
        Ok(Entry {
            command,
            options: self.options,
            service: self.service,
            settings: self.settings,
            server,
            timeouts,
        })
    }

    fn check_service(&mut self) -> Result<(), End> {
        if let Some(ServiceKey::Address { protocol, port, .. }) = self.service {
            if port == 0 && self.settings.persistence.is_none() {
                return Err(misused("Zero port specified for non-persistent service"));
            }
            if self.settings.one_packet && protocol != Protocol::Udp {
                return Err(misused("One-Packet Scheduling is only for UDP virtual services"));
            }
        }
        if self.settings.scheduler.is_empty() {
            self.settings.scheduler = SCHEDULER_DEFAULT.to_owned();
        }
        Ok(())
    }

    fn check_list(&self) -> Result<(), End> {
        let other = self.options.any(&[Opt::Connection, Opt::Timeout, Opt::Daemon]);
        let figures = self.options.any(&[Opt::Statistics, Opt::Rate, Opt::Thresholds]);
        let words = self.options.any(&[Opt::Timeout, Opt::Daemon]);
        if (other && figures) || (words && self.options.has(Opt::PersistentConnections)) {
            return Err(misused("options conflicts in the list command"));
        }
        Ok(())
    }

    fn check_forwarding(&mut self) -> Result<(), End> {
        let tunnelled = matches!(self.forwarding, Forwarding::Tunnel(_));
        let other_family = self.server.is_some_and(|server| server.address.is_ipv6() != self.ipv6);
        if other_family && !tunnelled {
            return Err(misused("Different address family is allowed only for tunneling servers"));
        }
        let of_tunnels = [
            Opt::TunnelType,
            Opt::TunnelPort,
            Opt::TunnelNoChecksum,
            Opt::TunnelChecksum,
            Opt::TunnelRemoteChecksum,
        ];
        if self.options.any(&of_tunnels) && !tunnelled {
            return Err(misused("Tunnel options conflict with forward method"));
        }
        legal::check_tunnel(self.tunnel, self.options).map_err(misused)?;
        if self.options.has(Opt::TunnelRemoteChecksum) {
            let text = "remote checksum offload is not supported: use --tun-csum, which a server \
                        that does it takes too, or --tun-nocsum";
            return Err(End::Failed { code: FAILED, text: text.into() });
        }
        let checksum = self.options.has(Opt::TunnelChecksum);
        if tunnelled {
            self.forwarding = Forwarding::Tunnel(match self.tunnel {
                Tunnel::IpIp => Tunnel::IpIp,
                Tunnel::Gue { .. } => Tunnel::Gue { port: self.tunnel_port, checksum },
                Tunnel::Gre { .. } => Tunnel::Gre { checksum },
            });
        }
        Ok(())
    }

    /// The real server. Its port is the virtual server's where none is given, and where it has to be
    /// (`direct`).
    fn server(&self, direct: bool) -> Option<Server> {
        let Address { address, port } = self.server?;
        let (common, of_mark) = match self.service {
            Some(ServiceKey::Address { port, .. }) => (port, false),
            Some(ServiceKey::Mark { .. }) | None => (0, true),
        };
        let fixed = direct && !of_mark;
        Some(Server {
            address,
            port: if fixed { common } else { port.unwrap_or(common) },
            forwarding: self.forwarding,
            weight: self.weight,
            upper_threshold: self.upper_threshold,
            lower_threshold: self.lower_threshold,
        })
    }
}

fn multicast_group(text: &str) -> Result<(), End> {
    let (family, address) = match text.contains(':') {
        true => ("IPv6", text.parse().ok().map(IpAddr::V6)),
        false => ("IPv4", text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)),
    };
    match address {
        Some(address) if address.is_multicast() => Ok(()),
        Some(_) | None => Err(misused(format!("invalid {family} mcast-group `{text}'"))),
    }
}
