//! `evenkeel explain packet`: what the data plane would do with a packet, step by step.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use director::xdp::explain::{Explanation, PacketFate, Question, explain};
use model::layer4::Protocol;

/// `evenkeel explain`
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(subcommand)]
    command: What,
}

/// What is to be explained.
#[derive(Debug, Subcommand)]
enum What {
    /// Run the data plane's own program on a packet, over a copy of the tables as they are now,
    /// and tell every step. Nothing is sent, counted or changed.
    Packet(PacketArgs),
}

/// `evenkeel explain packet`
#[derive(Debug, Args)]
struct PacketArgs {
    /// Where it comes from: `198.51.100.7:40000`, `[2001:db8::7]:40000`; port 49152 when it has
    /// none.
    #[arg(value_name = "SRC", value_parser = source)]
    from: SocketAddr,
    /// Where it goes to: `192.0.2.1:80`, `[2001:db8::1]:80`.
    #[arg(value_name = "DST", value_parser = destination)]
    to: SocketAddr,
    /// What it carries.
    #[arg(value_name = "PROTO", value_enum, ignore_case = true)]
    protocol: ProtocolWord,
    /// Flags of a TCP segment, with commas between them: `syn`, `ack`, `fin`, `rst`, `psh`, `urg`.
    #[arg(long, value_name = "FLAGS", default_value = "syn", value_parser = flags)]
    flags: u8,
    /// Interface that it comes in by; the one that leads to SRC otherwise.
    #[arg(long, value_name = "INTERFACE")]
    on: Option<String>,
    /// Where the programs and tables are pinned, as `evenkeel run` was told.
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/evenkeel")]
    pin_dir: PathBuf,
    /// The answer as JSON.
    #[arg(long)]
    json: bool,
}

/// What a packet can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProtocolWord {
    /// A segment of TCP.
    Tcp,
    /// A datagram of UDP.
    Udp,
    /// A packet of SCTP with an INIT chunk.
    Sctp,
}

impl ProtocolWord {
    const fn protocol(self) -> Protocol {
        match self {
            ProtocolWord::Tcp => Protocol::Tcp,
            ProtocolWord::Udp => Protocol::Udp,
            ProtocolWord::Sctp => Protocol::Sctp,
        }
    }
}

/// A port that clients use.
const CLIENT_PORT: u16 = 49_152;

fn source(text: &str) -> Result<SocketAddr, String> {
    let address = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match address {
        Ok(address) => Ok(SocketAddr::new(address, CLIENT_PORT)),
        Err(_) => text.parse().map_err(|_| {
            format!("{text:?} is no address; write 198.51.100.7:40000 or [2001:db8::7]:40000")
        }),
    }
}

fn destination(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| match text.parse::<IpAddr>() {
        Ok(address) => {
            format!("{text} has no port; write {}", SocketAddr::new(address, 80))
        }
        Err(_) => format!("{text:?} is no address; write 192.0.2.1:80 or [2001:db8::1]:80"),
    })
}

/// As they stand in TCP's header (RFC 9293, section 3.1).
const FLAGS: [(&str, u8); 6] =
    [("fin", 1), ("syn", 2), ("rst", 4), ("psh", 8), ("ack", 16), ("urg", 32)];

fn flags(text: &str) -> Result<u8, String> {
    let words = text.split([',', '+']).map(str::trim).filter(|word| !word.is_empty());
    words.map(flag).try_fold(0, |all, one| one.map(|one| all | one))
}

fn flag(word: &str) -> Result<u8, String> {
    let found = FLAGS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
    let names = FLAGS.map(|(name, _)| name).join(", ");
    found.map(|(_, bit)| *bit).ok_or_else(|| format!("{word:?} is no flag of TCP: {names}"))
}

fn flag_names(flags: u8) -> String {
    let set = FLAGS.iter().filter(|(_, bit)| flags & bit != 0);
    set.map(|(name, _)| name.to_ascii_uppercase()).collect::<Vec<_>>().join(",")
}

/// Exit code 0 whatever becomes of the packet; 1 when that could not be found out.
pub(crate) fn explain_what(args: &ExplainArgs) -> ExitCode {
    let What::Packet(args) = &args.command;
    if args.from.is_ipv4() != args.to.is_ipv4() {
        return super::fail("SRC and DST are of different families");
    }
    let protocol = args.protocol.protocol();
    let flags = if protocol == Protocol::Tcp { args.flags } else { 0 };
    let question = Question { from: args.from, to: args.to, protocol, flags };
    match explain(&args.pin_dir, &question, args.on.as_deref()) {
        Ok(answer) if args.json => print_json(&question, &answer),
        Ok(answer) => {
            print!("{}", text_of(&question, &answer));
            ExitCode::SUCCESS
        }
        Err(error) => super::fail(&error.to_string()),
    }
}

fn text_of(question: &Question, answer: &Explanation) -> String {
    let flags = match question.protocol {
        Protocol::Tcp => format!(" {}", flag_names(question.flags)),
        Protocol::Udp | Protocol::Sctp => String::new(),
    };
    let Question { from, to, protocol, .. } = question;
    let mut text = format!("{protocol} {from} -> {to}{flags}, in by {}\n", answer.interface);
    for (number, step) in answer.steps.iter().enumerate() {
        text.push_str(&format!("{:>3}. {step}\n", number + 1));
    }
    text.push_str(&format!("{}: {}\n", fate_word(answer.fate), answer.reason));
    for line in &answer.packet {
        text.push_str(&format!("     {line}\n"));
    }
    text
}

const fn fate_word(fate: PacketFate) -> &'static str {
    match fate {
        PacketFate::Forwarded => "forwarded",
        PacketFate::Passed => "left to the kernel",
        PacketFate::Dropped => "dropped",
    }
}

fn print_json(question: &Question, answer: &Explanation) -> ExitCode {
    let document = serde_json::json!({
        "from": question.from.to_string(),
        "to": question.to.to_string(),
        "protocol": question.protocol.to_string(),
        "flags": flag_names(question.flags),
        "interface": answer.interface,
        "steps": answer.steps,
        "fate": format!("{:?}", answer.fate).to_ascii_lowercase(),
        "reason": answer.reason,
        "packet": answer.packet,
    });
    println!("{document:#}");
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_may_do_without_a_port_and_a_destination_may_not() {
        assert_eq!(source("198.51.100.7").unwrap().port(), CLIENT_PORT);
        assert_eq!(source("[2001:db8::7]").unwrap().port(), CLIENT_PORT);
        assert_eq!(source("2001:db8::7").unwrap().port(), CLIENT_PORT);
        assert_eq!(source("198.51.100.7:5").unwrap().port(), 5);
        assert!(source("198.51.100").is_err());
        assert!(destination("192.0.2.1").unwrap_err().ends_with("write 192.0.2.1:80"));
        assert!(destination("2001:db8::1").unwrap_err().ends_with("write [2001:db8::1]:80"));
    }

    #[test]
    fn flags_are_read_in_any_case_and_an_unknown_one_is_named() {
        assert_eq!(flags("syn,ACK"), Ok(18));
        assert_eq!(flags("fin+ack"), Ok(17));
        assert_eq!(flags(""), Ok(0));
        assert!(flags("syn,cwr").unwrap_err().starts_with("\"cwr\" is no flag of TCP: fin, syn"));
        assert_eq!(flag_names(18), "SYN,ACK");
    }
}
