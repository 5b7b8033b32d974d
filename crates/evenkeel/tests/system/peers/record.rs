//! What a director leaves in the kernel: addresses, routes and rules, as `ip -j` tells them, in a
//! form that can be compared.

use lab::net::Namespace;
use serde_json::Value;

/// Fields that differ from run to run, or that are not the director's.
const VOLATILE: &[&str] =
    &["ifindex", "valid_life_time", "cache", "metrics_time", "expires", "age"];

/// Everything of one namespace, one line each, sorted.
pub(crate) fn record(namespace: &Namespace, configuration: &str) -> Vec<String> {
    let mut lines = addresses(namespace, configuration);
    for (family, what) in [
        ("-4", "route show table all"),
        ("-6", "route show table all"),
        ("-4", "rule"),
        ("-6", "rule"),
    ] {
        for entry in json(namespace, &format!("-j {family} {what}")) {
            let text =
                format!("{family} {} {}", what.split(' ').next().unwrap_or_default(), tidy(entry));
            if is_ours(&text, configuration) {
                lines.push(text);
            }
        }
    }
    lines.sort();
    lines
}

/// Link-local addresses that the kernel makes up, and their routes, are different in every
/// namespace.
fn is_ours(text: &str, configuration: &str) -> bool {
    let made_up = text.contains("fe80:") || text.contains("ff00::");
    let configured = configuration.split_whitespace().filter(|word| word.starts_with("fe80:"));
    !made_up || configured.into_iter().any(|word| text.contains(word))
}

fn addresses(namespace: &Namespace, configuration: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for link in json(namespace, "-j addr show") {
        let name = link["ifname"].as_str().unwrap_or_default().to_owned();
        let Some(list) = link["addr_info"].as_array() else { continue };
        for address in list {
            let preferred = address["preferred_life_time"].as_u64() != Some(0);
            let text = format!("addr {name} preferred={preferred} {}", tidy(address.clone()));
            let local = address["local"].as_str().unwrap_or_default();
            if !local.starts_with("fe80:") || configuration.contains(local) {
                lines.push(text);
            }
        }
    }
    lines
}

fn tidy(mut entry: Value) -> String {
    if let Value::Object(fields) = &mut entry {
        fields
            .retain(|name, _| !VOLATILE.contains(&name.as_str()) && name != "preferred_life_time");
    }
    entry.to_string()
}

fn json(namespace: &Namespace, arguments: &str) -> Vec<Value> {
    let text = namespace.ip(arguments).unwrap_or_default();
    match serde_json::from_str(&text) {
        Ok(Value::Array(entries)) => entries,
        Ok(_) | Err(_) => Vec::new(),
    }
}
