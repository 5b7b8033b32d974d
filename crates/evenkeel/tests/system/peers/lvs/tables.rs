//! Layer-4 tables at rest, a sorted line for each service and each server, in ipvsadm's words.

use std::collections::BTreeMap;

/// What is left of the requests that `fake_ipvs.c` wrote down.
pub(super) fn of_requests(log: &str) -> Vec<String> {
    let mut tables = BTreeMap::new();
    for line in log.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [verb, protocol, service, ..] = words[..] else { continue };
        let service = format!("{} {service}", protocol.to_uppercase());
        match (verb, &words[3..]) {
            ("add-service" | "edit-service", [scheduler, ..]) => {
                tables.insert(service.clone(), format!("{service} {scheduler}"));
            }
            ("delete-service", _) => {
                tables.remove(&service);
            }
            ("add-server" | "edit-server", [server, method, "weight", weight, ..]) => {
                let key = format!("{service} -> {server}");
                let method = match *method {
                    "nat" => "Masq",
                    "dr" => "Route",
                    other => panic!("no method of the scenarios: {other}"),
                };
                tables.insert(key.clone(), format!("{key} {method} {weight}"));
            }
            ("delete-server", [server, ..]) => {
                tables.remove(&format!("{service} -> {server}"));
            }
            _ => panic!("not a request: {line}"),
        }
    }
    let mut tables: Vec<String> = tables.into_values().collect();
    tables.sort();
    tables
}

/// What `ipvsadm -Ln` lists.
pub(super) fn of_listing(text: &str) -> Vec<String> {
    let mut service = String::new();
    let mut tables = Vec::new();
    // Three lines of heading.
    for line in text.lines().skip(3) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["->", server, method, weight, _, _] => {
                tables.push(format!("{service} -> {server} {method} {weight}"));
            }
            [protocol, address, scheduler, ..] => {
                service = format!("{protocol} {address}");
                tables.push(format!("{service} {scheduler}"));
            }
            _ => panic!("not a line of a table: {line}"),
        }
    }
    tables.sort();
    tables
}

#[test]
fn requests_and_a_listing_of_the_same_tables_are_the_same() {
    let log = "add-service tcp 192.0.2.1:80 rr timeout 0 flags 0 mask ffffffff\n\
        add-server tcp 192.0.2.1:80 10.0.0.1:80 nat weight 2 upper 0 lower 0\n\
        add-server tcp 192.0.2.1:80 10.0.0.2:80 nat weight 1 upper 0 lower 0\n\
        edit-server tcp 192.0.2.1:80 10.0.0.1:80 nat weight 0 upper 0 lower 0\n\
        delete-server tcp 192.0.2.1:80 10.0.0.2:80 nat weight 1 upper 0 lower 0\n\
        add-server tcp 192.0.2.1:80 10.0.0.5:80 dr weight 1 upper 0 lower 0\n";
    let listing = "IP Virtual Server version 1.2.1 (size=4096)\n\
        Prot LocalAddress:Port Scheduler Flags\n\
        \x20 -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n\
        TCP  192.0.2.1:80 rr\n\
        \x20 -> 10.0.0.1:80                  Masq    0      0          0         \n\
        \x20 -> 10.0.0.5:80                  Route   1      0          0         \n";
    assert_eq!(of_requests(log), of_listing(listing));
    let gone = format!("{log}delete-service tcp 192.0.2.1:80 rr timeout 0 flags 0 mask 0\n");
    assert_eq!(of_requests(&gone).len(), 2);
}
