//! What must be unique, and what both files together can tell.

use crate::common::{Table, keepalived, lines};

const INSTANCE: &str = "vrrp_instance A {\n interface eth0\n virtual_router_id 7\n \
                        virtual_ipaddress {\n 10.0.0.1\n 10.0.0.9 dev eth5\n }\n}\n";

fn second(name: &str, id: u8, address: &str) -> String {
    format!(
        "{INSTANCE}vrrp_instance {name} {{\n interface eth0\n virtual_router_id {id}\n \
         virtual_ipaddress {{\n {address}\n }}\n}}\n"
    )
}

fn only(text: &str) -> String {
    let loaded = keepalived(text);
    let lines = lines(&loaded);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].clone()
}

#[test]
fn what_must_be_unique_is() {
    assert!(only(&second("A", 8, "10.0.0.2")).contains("vrrp_instance A exists already"));
    assert!(only(&second("B", 7, "10.0.0.2")).contains("virtual_router_id 7 is taken on eth0"));
    assert!(only(&second("B", 8, "10.0.0.1")).contains("A holds 10.0.0.1 already"));
    let service = "virtual_server 10.0.0.1 80 {\n real_server 10.0.1.1 80 {\n }\nprotocol TCP\n}\n";
    assert!(
        only(&format!("{service}{service}"))
            .contains("virtual_server TCP 10.0.0.1:80 exists already")
    );
    let twice = service.replace("protocol", "real_server 10.0.1.1 {\n }\nprotocol");
    assert!(only(&twice).contains("real_server 10.0.1.1:80 exists already here"));
}

#[test]
fn what_the_tables_have_no_place_for_is_an_error() {
    let servers = |count: u32| -> String {
        let one = |n: u32| format!(" real_server 10.1.{}.{} 80 {{\n }}\n", n / 250, n % 250 + 1);
        (0..count).map(one).collect()
    };
    let text = |count| {
        format!("{INSTANCE}virtual_server 10.0.0.1 80 {{\n{}protocol TCP\n}}\n", servers(count))
    };
    assert_eq!(lines(&keepalived(&text(256))), Vec::<String>::new());
    assert!(only(&text(257)).contains("257 real servers are more than 256 in one virtual_server"));
}

#[test]
fn members_of_a_group_must_exist() {
    let text = format!("{INSTANCE}vrrp_sync_group G {{\n group {{\n A\n AA\n }}\n}}\n");
    assert_eq!(only(&text), "12:2 error: no vrrp_instance is named AA; did you mean \"A\"?");
    let text = format!("{INSTANCE}vrrp_sync_group G {{\n group {{\n A\n A\n }}\n}}\n");
    assert!(only(&text).contains("A is in a sync group already"));
}

#[test]
fn an_instance_needs_an_interface_and_an_id() {
    let text = "vrrp_instance A {\n virtual_ipaddress {\n 10.0.0.1\n }\n}\n";
    let loaded = keepalived(text);
    assert_eq!(
        lines(&loaded),
        [
            "1:15 error: vrrp_instance A has no interface; write interface in it",
            "1:15 error: vrrp_instance A has no virtual_router_id; write virtual_router_id in it",
        ]
    );
}

#[test]
fn a_virtual_server_without_protocol_is_udp_as_in_keepalived() {
    let server = " real_server 10.0.1.1 80 {\n }\n}\n";
    let text = |first: &str| format!("virtual_server {first} {{\n{server}");
    let warning = "warning: this virtual_server names no protocol: it serves UDP, not TCP; write \
                   protocol TCP, or protocol UDP if that is meant";
    let loaded = keepalived(&text("10.0.0.1 80"));
    assert_eq!(lines(&loaded), [format!("1:16 {warning}")]);
    assert!(loaded.diagnostics[0].fails_test, "keepalived -t ends with 5");
    let key = loaded.plan.unwrap().layer4.virtual_servers[0].key();
    assert_eq!(key.to_string(), "UDP 10.0.0.1:80");
    let group = format!("{}virtual_server_group g {{\n10.0.0.1 80\n}}\n", text("group g"));
    let loaded = keepalived(&group);
    assert_eq!(lines(&loaded), [format!("1:16 {warning}")]);
    let id = &loaded.plan.unwrap().layer4.virtual_servers[0].id;
    assert_eq!(id.to_string(), "UDP group g");
    // A mistake is told as one, and whom nobody serves speaks nothing.
    let mistake = text("10.0.0.1 80").replace(" real", " protocol TPC\n real");
    assert!(only(&mistake).contains("TPC"));
    assert!(only("virtual_server 10.0.0.1 80 {\n}\n").contains("has no real_server"));
    let many: String = (1..=6).map(|last| text(&format!("10.0.0.{last} 80"))).collect();
    let told = lines(&keepalived(&many));
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[3].contains("(and 2 more like this)"), "{told:?}");
}

#[test]
fn a_service_on_all_ports_is_persistent() {
    let text = "virtual_server 10.0.0.1 {\n real_server 10.0.1.1 {\n }\nprotocol TCP\n}\n";
    let loaded = keepalived(text);
    assert_eq!(
        lines(&loaded),
        [
            "1:16 warning: a virtual server for all ports is persistent: persistence_timeout is 360; \
          write a port after the address, or persistence_timeout 360"
        ]
    );
    assert!(loaded.diagnostics[0].fails_test, "keepalived -t ends with 5");
    let persistence = loaded.plan.unwrap().layer4.virtual_servers[0].persistence.unwrap();
    assert_eq!((persistence.timeout.as_secs(), persistence.prefix_len), (360, 32));
    let text = text.replace(" {\n real", " {\n persistence_timeout 5\n real");
    let text = text.replace("10.0.1.1 {", "10.0.1.1 {\n TCP_CHECK {\n }");
    assert!(only(&text).contains("TCP_CHECK needs connect_port here"));
}

#[test]
fn a_real_server_that_is_its_virtual_server_has_to_be_served_by_the_director() {
    let text = "virtual_server 10.0.0.1 80 {\n real_server 10.0.0.1 80 {\n }\nprotocol TCP\n}\n";
    let found = only(text);
    assert!(found.contains("warning: this real server is the virtual server itself"), "{found}");
}

#[test]
fn direct_routing_keeps_the_port() {
    let text = "virtual_server 10.0.0.1 80 {\n lb_kind DR\n real_server 10.0.1.1 8080 {\n }\nprotocol TCP\n}\n";
    assert!(only(text).contains("direct routing cannot change the port: it stays 80"));
    let plan = keepalived(text).plan.unwrap();
    assert_eq!(plan.layer4.virtual_servers[0].real_servers[0].endpoint.port, 80);
}

#[test]
fn weights_that_cannot_matter_are_warned_of() {
    let text = "virtual_server 10.0.0.1 80 {\n lb_algo rr\n real_server 10.0.1.1 80 {\n weight 2\n \
                }\n real_server 10.0.1.2 80 {\n }\nprotocol TCP\n}\n";
    assert!(only(text).contains("lb_algo rr takes the servers in turn"));
    let text = "virtual_server 10.0.0.1 80 {\n real_server 10.0.1.1 80 {\n weight 0\n }\nprotocol TCP\n}\n";
    assert!(only(text).contains("all have weight 0"));
    assert!(only("virtual_server 10.0.0.1 80 {\n}\n").contains("has no real_server"));
}

#[test]
fn packets_are_expected_where_the_addresses_are_held() {
    let service = "virtual_server 10.0.0.9 80 {\n real_server 10.0.1.1 80 {\n }\nprotocol TCP\n}\n";
    let loaded = keepalived(&format!("{INSTANCE}{service}"));
    assert!(lines(&loaded).is_empty());
    assert_eq!(loaded.plan.unwrap().layer4.interfaces, ["eth5"]);
}

#[test]
fn a_frontend_on_a_virtual_address_binds_before_it_is_there() {
    let proxy = "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n\
                 frontend f\n bind 10.0.0.1:80\n bind 10.0.0.7:80\n default_backend b\n\
                 backend b\n server s 10.0.1.1:80\n";
    let loaded = Table::default().with("a.conf", INSTANCE).with("b.cfg", proxy).load();
    let plan = loaded.plan.unwrap();
    let freebind: Vec<bool> =
        plan.proxy.frontends[0].binds.iter().map(|bind| bind.freebind).collect();
    assert_eq!(freebind, [true, false]);
    assert!(plan.has_keepalived && plan.has_haproxy);

    let service = "virtual_server 10.0.0.1 80 {\n real_server 10.0.1.1 80 {\n }\nprotocol TCP\n}\n";
    let both = format!("{INSTANCE}{service}");
    let loaded = Table::default().with("a.conf", &both).with("b.cfg", proxy).load();
    assert!(loaded.plan.is_none());
    let lines = lines(&loaded);
    assert!(lines.iter().any(|line| line.contains("layer 4 takes 10.0.0.1:80")), "{lines:?}");
}

#[test]
fn a_file_of_neither_language_and_a_missing_one_are_errors() {
    let loaded = Table::default().with("x", "hello\n").load();
    assert!(lines(&loaded)[0].contains("cannot tell whether x is a keepalived.conf or a haproxy"));
    let loaded = conf::load(&conf::source::Table::default(), &[("gone.conf".into(), None)]);
    assert!(lines(&loaded)[0].contains("cannot read gone.conf: no such file"));
}
