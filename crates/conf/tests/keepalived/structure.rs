//! Braces, right and wrong.

use crate::common::{keepalived, lines};

fn errors(text: &str) -> Vec<String> {
    lines(&keepalived(text))
}

#[test]
fn a_brace_may_stand_anywhere() {
    let glued =
        "vrrp_instance A{interface eth0\nvirtual_router_id 7\nvirtual_ipaddress{10.0.0.1}}\n";
    let next = "vrrp_instance A # c\n\n  {\ninterface eth0\nvirtual_router_id 7\n\
                virtual_ipaddress\n{\n10.0.0.1\n}\n}\n";
    for text in [glued, next] {
        let loaded = keepalived(text);
        assert!(lines(&loaded).is_empty(), "{:?}", lines(&loaded));
        assert_eq!(loaded.plan.unwrap().vrrp.instances[0].virtual_router_id.number(), 7);
    }
}

#[test]
fn a_block_left_open_is_reported_once_at_the_line_that_opened_it() {
    let text = "vrrp_instance A {\n interface eth0\n virtual_router_id 7\n virtual_ipaddress {\n  \
                10.0.0.1\n }\nvirtual_server 10.0.0.1 80 {\n real_server 10.0.1.1 80 {\n }\nprotocol TCP\n}\n";
    assert_eq!(
        errors(text),
        ["1:1 error: vrrp_instance is never closed; write `}` where vrrp_instance ends"]
    );
    let list = text.replace(" }\nvirtual_server", "}\nvirtual_server");
    assert_eq!(
        errors(&list),
        ["4:2 error: virtual_ipaddress is never closed; write `}` where virtual_ipaddress ends"]
    );
}

#[test]
fn a_stray_brace_is_reported_once() {
    let text = "virtual_server 10.0.0.1 80 {\n real_server 10.0.1.1 80 {\n }\nprotocol TCP\n}\n}\n";
    assert_eq!(
        errors(text),
        ["6:1 error: this } closes nothing; remove it, or look for a { that was lost above"]
    );
}

#[test]
fn a_brace_that_closes_too_early_is_reported_where_it_stands() {
    let text = "vrrp_instance A {\n interface eth0\n }\n virtual_router_id 7\n priority 50\n \
                virtual_ipaddress {\n 10.0.0.1\n }\n}\n";
    assert_eq!(
        errors(text),
        ["3:2 error: this } closes vrrp_instance too early; remove it, or look for a { that was \
          lost above"]
    );
}

#[test]
fn a_block_without_its_brace_is_read_all_the_same() {
    let text = "virtual_server 10.0.0.1 80\n lb_algo wrx\n real_server 10.0.1.1 80 {\n }\nprotocol TCP\n}\n";
    assert_eq!(
        errors(text),
        [
            "1:1 error: virtual_server has no opening brace; write `{` after it: virtual_server \
             opens a block",
            "2:10 error: unknown lb_algo \"wrx\"; did you mean \"wrr\"?",
        ]
    );
}

#[test]
fn a_misspelt_block_is_read_as_the_one_that_was_meant() {
    let text = "virtua1_server 10.0.0.1 80 {\n lb_algo wrx\n real_server 10.0.1.1 80 {\n }\n \
                protocol TCP\n}\n";
    assert_eq!(
        errors(text),
        [
            "1:1 error: unknown keyword \"virtua1_server\" at the top level; did you mean \
             \"virtual_server\"?",
            "2:10 error: unknown lb_algo \"wrx\"; did you mean \"wrr\"?",
        ]
    );
}

#[test]
fn a_keyword_in_the_wrong_block_is_told_where_it_belongs() {
    let text = "virtual_server 10.0.0.1 80 {\n uthreshold 3\n real_server 10.0.1.1 80 {\n }\nprotocol TCP\n}\n";
    assert_eq!(
        errors(text),
        ["2:2 error: uthreshold cannot stand in virtual_server; it belongs into real_server"]
    );
}

#[test]
fn what_is_not_supported_is_refused_where_it_stands() {
    let text = "SSL {\n password x\n}\nvrrp_instance A {\n interface eth0\n \
                virtual_router_id 7\n lvs_sync_daemon_interface eth0\n virtual_ipaddress {\n \
                10.0.0.1\n }\n}\n";
    assert_eq!(
        errors(text),
        [
            "2:2 error: password is not supported by this version; decrypt the key (openssl pkey \
             -in KEY -out PLAIN), let root alone read it, and remove the password",
            "7:2 error: lvs_sync_daemon_interface is not supported by this version; remove it; \
             connection synchronisation is planned",
        ]
    );
}

#[test]
fn words_that_the_expansion_left_are_explained() {
    let text = "$P\nglobal_defs {\n @ router_id a\n ~FOO(a) b\n router_id ${Q}\n}\n";
    assert_eq!(
        errors(text),
        [
            "1:1 error: \"$P\" stands for nothing here; define the parameter above: $NAME=VALUE",
            "4:2 error: \"~FOO(a)\" stands for nothing here; write ~SEQ(VAR, START, STEP, END), \
             ~SEQx(...) or ~LST(VAR, VALUE...)",
            "5:12 error: no parameter ${Q} is defined here; write $NAME=VALUE above, or put the \
             word into \"...\" if it is meant literally",
        ]
    );
}

#[test]
fn a_value_keyword_takes_no_block() {
    let text = "global_defs {\n router_id A {\n x\n }\n}\n{\n}\n";
    assert_eq!(
        errors(text),
        [
            "2:14 error: router_id takes no block",
            "6:1 error: this { follows no keyword; remove it, or write the keyword whose block \
             begins here",
        ]
    );
}

#[test]
fn a_directive_of_the_top_level_in_a_block_does_not_end_it() {
    let text = "vrrp_instance A {\n interface eth0\n use_pid_dir\n virtual_router_id 7\n \
                virtual_ipaddress {\n 10.0.0.1\n }\n}\n";
    let found = lines(&keepalived(text));
    assert_eq!(
        found,
        ["3:2 error: use_pid_dir cannot stand in vrrp_instance; it belongs into top level"]
    );
}
