//! `lvs_method` and its likes: how packets reach a real server.

use alloc::format;
use alloc::string::ToString;

use model::layer4::{Forwarding, Tunnel};

use crate::keepalived::lexer::Word;
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;
use crate::suggest;

/// What may follow such a keyword.
pub(crate) const SYNTAX: &str = "NAT|DR|TUN [type ipip|gue port PORT|gre [nocsum|csum]]";

const NEEDS: &str = "NAT, DR or TUN";

/// Options of a tunnel as they are written.
#[derive(Default)]
struct Options<'w, 'a> {
    kind: Option<&'w Word<'a>>,
    port: Option<u16>,
    checksum: Option<(&'w Word<'a>, bool)>,
}

/// Reads `NAT`, `DR`, or `TUN` with the kind of the tunnel.
pub(crate) fn method(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<Forwarding> {
    let word = reader.first_argument(statement, NEEDS)?;
    let plain = match word.text.as_ref() {
        "NAT" => Forwarding::Nat,
        "DR" => Forwarding::DirectRouting,
        "TUN" => return tunnel(reader, statement).map(Forwarding::Tunnel),
        unknown => {
            let help = suggest::did_you_mean(unknown, ["NAT", "DR", "TUN"]);
            let message = format!("unknown {} \"{unknown}\"", statement.keyword().text);
            let help = help.unwrap_or_else(|| format!("use {NEEDS}"));
            reader.error(word.span, message, &help);
            return None;
        }
    };
    reader.no_more(statement, 1);
    Some(plain)
}

fn tunnel(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<Tunnel> {
    let mut options = Options::default();
    let mut words = statement.arguments().iter().skip(1);
    while let Some(word) = words.next() {
        match word.text.as_ref() {
            "type" => {
                options.kind = Some(following(reader, word, words.next(), "ipip, gue or gre")?)
            }
            "port" => {
                let port = following(reader, word, words.next(), "a port number")?;
                options.port = Some(reader.port_of(port, 1)?);
            }
            "nocsum" => options.checksum = Some((word, false)),
            "csum" => options.checksum = Some((word, true)),
            "remcsum" => {
                let message = "remcsum is not supported by this version".to_string();
                let help = "use csum, or nocsum where the client's own checksum is enough";
                reader.error(word.span, message, help);
                return None;
            }
            unknown => {
                let names = ["type", "port", "nocsum", "csum"];
                let help = suggest::did_you_mean(unknown, names);
                let help = help.unwrap_or_else(|| format!("write {SYNTAX}"));
                reader.error(word.span, format!("unknown option \"{unknown}\" of TUN"), &help);
                return None;
            }
        }
    }
    assemble(reader, statement, options)
}

fn following<'w, 'a>(
    reader: &mut Reader<'_>,
    option: &Word<'_>,
    value: Option<&'w Word<'a>>,
    needs: &str,
) -> Option<&'w Word<'a>> {
    if value.is_none() {
        let message = format!("{} needs {needs}", option.text);
        reader.error(option.span, message, &format!("write {needs} after it"));
    }
    value
}

fn assemble(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    options: Options<'_, '_>,
) -> Option<Tunnel> {
    let checksum = options.checksum.is_some_and(|(_, wanted)| wanted);
    let kind = options.kind.map_or("ipip", |word| word.text.as_ref());
    if kind != "gue" && options.port.is_some() {
        let message = format!("a tunnel of type {kind} has no port");
        reader.error(statement.header(), message, "remove port, or write type gue");
        return None;
    }
    match (kind, options.port) {
        ("ipip", _) => {
            if let Some((word, _)) = options.checksum {
                let message = "a tunnel of type ipip has no checksum".to_string();
                reader.error(word.span, message, "remove it, or write type gre or gue");
                return None;
            }
            Some(Tunnel::IpIp)
        }
        ("gre", _) => Some(Tunnel::Gre { checksum }),
        ("gue", Some(port)) => Some(Tunnel::Gue { port, checksum }),
        ("gue", None) => {
            let message = "a tunnel of type gue needs a port".to_string();
            reader.error(statement.header(), message, "write type gue port 6080");
            None
        }
        (unknown, _) => {
            let help = suggest::did_you_mean(unknown, ["ipip", "gue", "gre"]);
            let message = format!("unknown type of tunnel \"{unknown}\"");
            let span = options.kind.map_or(statement.header(), |word| word.span);
            let help = help.unwrap_or_else(|| "use ipip, gue or gre".to_string());
            reader.error(span, message, &help);
            None
        }
    }
}
