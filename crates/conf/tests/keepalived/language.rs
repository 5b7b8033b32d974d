//! What happens to a file before its words mean anything: includes, conditions, parameters,
//! sequences, lists, quotes and continued lines.

use std::net::IpAddr;

use conf::source::{FileKind, Table};
use conf::{Language, Loaded};

use crate::common::lines;

fn machine(text: &str) -> Table {
    Table::default().file("/etc/k/k.conf", text).identified("main")
}

fn load(table: &Table) -> Loaded {
    conf::load(table, &[("/etc/k/k.conf".into(), Some(Language::Keepalived))])
}

/// The addresses of the only instance, whose block has these lines.
fn addresses(before: &str, lines: &str) -> Vec<String> {
    addresses_of(&machine(&format!("{before}\n{}", instance(lines))))
}

fn instance(lines: &str) -> String {
    format!(
        "vrrp_instance A {{\n interface eth0\n virtual_router_id 1\n virtual_ipaddress {{\n{lines}\n }}\n}}\n"
    )
}

fn addresses_of(table: &Table) -> Vec<String> {
    let loaded = load(table);
    let plan = loaded.plan.as_ref().unwrap_or_else(|| panic!("{:#?}", self::lines(&loaded)));
    let addresses = plan.vrrp.instances[0].addresses.iter();
    addresses.map(|one| IpAddr::to_string(&one.address)).collect()
}

fn findings(table: &Table) -> Vec<String> {
    lines(&load(table))
}

#[test]
fn a_parameter_is_replaced_when_it_is_used() {
    // The manual's example.
    let text = "$BASE=10.2.${SUB}\n$SUB=0\n${BASE}.100\n$SUB=10\n${BASE}.100";
    assert_eq!(addresses("", text), ["10.2.0.100", "10.2.10.100"]);
}

#[test]
fn a_name_may_be_made_of_parameters() {
    assert_eq!(addresses("$A1=10.0.0.1\n$N=1", "${A${N}}"), ["10.0.0.1"]);
    assert_eq!(addresses("$X=10.0.0.9\n$N=X", "${${N}}"), ["10.0.0.9"]);
}

#[test]
fn a_parameter_of_several_lines_opens_blocks() {
    let text = "$VI= \\\nvrrp_instance VI_${NUM} { \\\n interface eth0.${NUM} \\\n\
         virtual_router_id ${NUM} \\\n @main priority 130 \\\n @other priority 20 \\\n\
         # no more \\\n virtual_ipaddress { \\\n 10.0.${NUM}.254 \\\n } \\\n}\n\n\
         $NUM=1\n$VI\n\n$NUM=2\n$VI\n";
    let plan = load(&machine(text)).plan.unwrap();
    let told: Vec<_> = plan
        .vrrp
        .instances
        .iter()
        .map(|one| {
            (one.name.to_string(), one.priority.number(), one.addresses[0].address.to_string())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("VI_1".into(), 130, "10.0.1.254".to_string()),
            ("VI_2".into(), 130, "10.0.2.254".to_string())
        ]
    );
}

#[test]
fn parameters_of_several_lines_nest() {
    let before = "$IN= \\\n10.0.${A}.1 \\\n10.0.${A}.2\n$OUT= \\\n$A=1 \\\n$IN \\\n$A=2 \\\n$IN\n";
    assert_eq!(addresses(before, "$OUT"), ["10.0.1.1", "10.0.1.2", "10.0.2.1", "10.0.2.2"]);
}

#[test]
fn a_line_that_does_not_continue_ends_a_definition_also_an_empty_one() {
    let before = "$IN= \\\n10.0.0.1 \\\n \\\n# 10.0.0.2 \\\n10.0.0.3\n";
    assert_eq!(addresses(before, "$IN"), ["10.0.0.1", "10.0.0.3"]);
    for end in ["", "  ", "# and so on"] {
        let loaded = load(&machine(&format!("$IN= \\\n10.0.0.1 \\\n{end}\n10.0.0.3\n")));
        assert!(lines(&loaded)[0].starts_with("4:1 error: unknown keyword \"10.0.0.3\""), "{end}");
    }
    let found = findings(&machine("$IN= \\\na \\ \nglobal_defs {\n}\n"));
    assert!(
        found[0].starts_with("2:1 warning: blanks after the \\ end the definition"),
        "{found:?}"
    );
}

#[test]
fn a_condition_names_one_machine_or_all_others() {
    let text = "@main 10.0.0.1\n@other 10.0.0.2\n@^main 10.0.0.3\n@^other 10.0.0.4\n@main";
    assert_eq!(addresses("", text), ["10.0.0.1", "10.0.0.4"]);
    assert_eq!(addresses("$IF=@other", "$IF 10.0.0.1\n10.0.0.2"), ["10.0.0.2"]);
    assert_eq!(addresses("@main $A=10.0.0.1\n@other $A=10.0.0.2", "$A"), ["10.0.0.1"]);
}

#[test]
fn the_configuration_id_is_the_host_name_up_to_its_first_dot() {
    let table = Table::default()
        .file("/etc/k/k.conf", &instance("@lb1 10.0.0.1\n@lb1.example.org 10.0.0.2"))
        .named("lb1.example.org");
    assert_eq!(addresses_of(&table), ["10.0.0.1"]);
}

#[test]
fn what_follows_a_brace_is_read_as_a_line() {
    let text = "vrrp_instance A { @main interface eth0\n@other interface eth9\nvirtual_router_id 1 \
                virtual_ipaddress { $X=10.0.0.1\n $X }\n}\n";
    // `virtual_router_id 1 virtual_ipaddress {` is no statement of Keepalived either.
    assert!(load(&machine(text)).plan.is_none());
    let text = text.replace("1 virtual", "1\nvirtual");
    assert_eq!(addresses_of(&machine(&text)), ["10.0.0.1"]);
}

#[test]
fn sequences_count_up_down_and_in_hexadecimal() {
    let one = |text: &str| addresses("", text);
    assert_eq!(one("~SEQ(S, 0, 3) 10.0.${S}.1"), ["10.0.0.1", "10.0.1.1", "10.0.2.1", "10.0.3.1"]);
    assert_eq!(one("~SEQ(S, 2) 10.0.${S}.1"), ["10.0.1.1", "10.0.2.1"]);
    assert_eq!(one("~SEQ(S, 5, -2, 2) 10.0.${S}.1"), ["10.0.5.1", "10.0.3.1"]);
    assert_eq!(one("~SEQ(S, 2, 1) 10.0.${S}.1"), ["10.0.2.1", "10.0.1.1"]);
    let found = findings(&machine("~SEQx(S, 0x90, 0x10, 0xa0) include ${S}.conf\n"));
    assert!(found[0].contains("90.conf") && found[1].contains("a0.conf"), "{found:?}");
    assert_eq!(addresses("$N=2", "~SEQ(S, $N) 10.0.${S}.1"), ["10.0.1.1", "10.0.2.1"]);
}

#[test]
fn sequences_and_lists_nest() {
    let text = "~SEQ(A,1,2) ~SEQ(B,3,4) 10.0.${A}.${B}";
    assert_eq!(addresses("", text), ["10.0.1.3", "10.0.1.4", "10.0.2.3", "10.0.2.4"]);
    let text = "~LST({IP, IP1}, {10,1},{20}) ~SEQ(IP2,168,2,170) 192.${IP2}.${IP}.${IP1}1";
    assert_eq!(
        addresses("", text),
        ["192.168.10.11", "192.170.10.11", "192.168.20.1", "192.170.20.1"]
    );
    let before = "$TWO= \\\n10.${A}.0.1 \\\n~SEQ(B,1,2) 10.${A}.${B}.2\n";
    assert_eq!(
        addresses(before, "~LST(A, 5,6) $TWO"),
        ["10.5.0.1", "10.5.1.2", "10.5.2.2", "10.6.0.1", "10.6.1.2", "10.6.2.2"]
    );
    assert_eq!(addresses("$L=~LST(A, 5, 6) 10.0.0.${A}", "$L"), ["10.0.0.5", "10.0.0.6"]);
}

#[test]
fn includes_are_found_from_the_including_file() {
    let table = machine("include conf.d/*.conf\n")
        .file("/etc/k/conf.d/a.conf", "$N=1\n")
        .file("/etc/k/conf.d/b.conf", &instance("include more/{x,y}.inc\n"))
        .file("/etc/k/conf.d/more/x.inc", "10.0.0.${N}")
        .file("/etc/k/conf.d/more/y.inc", "10.0.0.2")
        .file("/etc/k/conf.d/c.txt", "nonsense");
    assert_eq!(addresses_of(&table), ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(findings(&table), Vec::<String>::new());
}

#[test]
fn findings_in_an_included_file_point_there() {
    let table = machine("include a.conf\n").file("/etc/k/a.conf", "\n nonsense\n");
    let loaded = load(&table);
    let span = loaded.diagnostics[0].span;
    assert_eq!(loaded.files.file(span.file).path, "/etc/k/a.conf");
    assert!(lines(&loaded)[0].starts_with("2:2 error: unknown keyword"));
}

#[test]
fn a_missing_file_is_a_warning_unless_checks_say_otherwise() {
    let severity = |line: &str| {
        let table = machine(line)
            .file("/etc/k/a.conf", "")
            .file_of_kind("/etc/k/x.conf", "", FileKind::Executable)
            .file("/etc/k/dir/y.conf", "");
        let loaded = load(&table);
        assert!(loaded.diagnostics.len() < 2, "{line}: {:?}", lines(&loaded));
        loaded.diagnostics.first().map(|one| one.severity.name())
    };
    let (ok, warning, error) = (None, Some("warning"), Some("error"));
    for (line, expected) in [
        ("include a.conf", ok),
        ("include b.conf", warning),
        ("includer b.conf", warning),
        ("includem b.conf", error),
        ("includew b.conf", error),
        ("includew b*.conf", error),
        ("includem b*.conf", warning),
        ("includem none/b*.conf", error),
        ("include {a,b}.conf", warning),
        ("includeb {a,b}.conf", error),
        ("includem {a,b}.conf", warning),
        ("includea {a,b}.conf", error),
        ("include x.conf", warning),
        ("includer x.conf", error),
        ("includer dir", error),
        ("include", error),
        ("global_defs {\n include_check\n include b.conf\n}", error),
        ("global_defs {\n include_check match\n include b*.conf\n}", warning),
        ("global_defs {\n include_check\n include_check -match\n include b.conf\n}", warning),
        (
            "global_defs {\n include_check wildcard_match +brace_match\n include {a,b}.conf\n}",
            error,
        ),
        ("global_defs {\n include_check sometimes\n}", error),
    ] {
        assert_eq!(severity(line), expected, "{line}");
    }
}

#[test]
fn checks_end_with_the_file_that_sets_them() {
    let table = machine("include a.conf\ninclude gone.conf\n")
        .file("/etc/k/a.conf", "global_defs {\n include_check\n}\ninclude gone.conf\n");
    let loaded = load(&table);
    let severities: Vec<_> = loaded.diagnostics.iter().map(|one| one.severity.name()).collect();
    assert_eq!(severities, ["warning", "error"]);
}

#[test]
fn files_do_not_include_themselves() {
    let table = machine("include a.conf\n").file("/etc/k/a.conf", "include k.conf\n");
    let found = findings(&table);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("would include itself"), "{found:?}");
    let mut table = machine("include 0.conf\n");
    for n in 0..40 {
        table = table.file(&format!("/etc/k/{n}.conf"), &format!("include {}.conf\n", n + 1));
    }
    assert!(findings(&table)[0].contains("more than 32 deep"));
}

#[test]
fn the_parameters_that_are_always_there_say_what_they_should() {
    let table = machine(
        "vrrp_instance \"${_INSTANCE} ${_ENV NAME}${_ENVNAME} ${_PWD} ${_HASH}${_BANG} ${X} $_PWD\" {\n\
         interface eth0\n virtual_router_id 1\n virtual_ipaddress {\n 10.0.0.${_RANDOM 7 7}\n}\n}\n",
    )
    .variable("NAME", "v");
    let loaded = load(&table);
    let plan = loaded.plan.as_ref().unwrap_or_else(|| panic!("{:#?}", lines(&loaded)));
    let instance = &plan.vrrp.instances[0];
    assert_eq!(&*instance.name, "main vv /etc/k #! ${X} $_PWD");
    assert_eq!(instance.addresses[0].address.to_string(), "10.0.0.7");
}

#[test]
fn a_seed_makes_random_numbers_repeat() {
    let random = |seed| {
        let before = format!("$R=${{_RANDOM 1 250}}\nglobal_defs {{\n random_seed {seed}\n}}\n");
        addresses(&before, "~SEQ(N,1,3) 10.0.${N}.$R")
            .into_iter()
            .chain(addresses(&before, "~SEQ(N,1,3) 10.0.${N}.$R"))
            .collect::<Vec<_>>()
    };
    let numbers = random(5);
    assert_eq!(numbers[..3], numbers[3..]);
    assert_ne!(random(6), numbers);
}

#[test]
fn findings_about_expanded_text_point_to_its_use_and_show_the_definition() {
    let loaded = load(&machine("$P=40000\nvrrp_instance A {\n priority $P\n}\n"));
    let found = loaded.diagnostics.iter().find(|one| one.message.contains("40000")).unwrap();
    let at = |span: conf::Span| {
        let place = loaded.files.position(span.file, span.start);
        (place.line, place.column, loaded.files.text(span).to_owned())
    };
    assert_eq!(at(found.span), (3, 11, "$P".into()));
    assert_eq!(at(found.related[0].0), (1, 4, "40000".into()));
    assert_eq!(found.related[0].1, "this gives \"40000\"");
    let shown = conf::render::text(&loaded.files, std::slice::from_ref(found), false);
    assert!(shown.contains("3 |  priority $P"), "{shown}");
}

#[test]
fn findings_inside_a_parameter_of_several_lines_show_the_line_itself() {
    let text = "$I= \\\nvrrp_instance A${N} { \\\n nonsense x \\\n}\n\n$N=1\n$I\n";
    let loaded = load(&machine(text));
    let found = loaded.diagnostics.iter().find(|one| one.message.contains("nonsense")).unwrap();
    assert_eq!(loaded.files.position(found.span.file, found.span.start).line, 7);
    let (line, _) = &found.related[0];
    assert!(loaded.files.text(*line).starts_with("nonsense"));
}

#[test]
fn what_cannot_end_is_refused_by_name() {
    let bombs = [
        ("$A=${A}x\nglobal_defs {\n router_id $A\n}\n", "refers to A itself"),
        ("$A=${B}\n$B=${A}\nglobal_defs {\n router_id $A\n}\n", "refers to A itself"),
        ("$A= \\\nx \\\n$A\n$A\n", "more than 64 deep"),
        ("~SEQ(A,1,100000000) x\n", "at most 1048576"),
        ("~SEQ(A,1,1000000) ~SEQ(B,1,1000000) $C=1\n", "more than 4194304 lines"),
        ("~SEQ(A,1,1000000) ~SEQ(B,1,1000000)\n", "more than 4194304 lines"),
    ];
    for (text, expected) in bombs {
        let found = findings(&machine(text));
        assert!(found.iter().any(|line| line.contains(expected)), "{text}: {found:?}");
    }
}

#[test]
fn a_billion_laughs_are_not_waited_for() {
    use std::fmt::Write;
    let mut text = String::from("$L0=ha\n");
    for n in 1..40 {
        writeln!(text, "$L{n}={}", format!("${{L{}}}", n - 1).repeat(10)).unwrap();
    }
    text += "global_defs {\n router_id $L39\n}\n";
    assert!(findings(&machine(&text)).iter().any(|line| line.contains("longer than 16384")));
    // The same with lines.
    let mut text = String::from("$L0= \\\nha \\\nha\n");
    for n in 1..40 {
        writeln!(text, "$L{n}= \\\n$L{m} \\\n$L{m}", m = n - 1).unwrap();
    }
    text += "$L39\n";
    let found = findings(&machine(&text));
    assert!(found.iter().any(|line| line.contains("are written out")), "{:?}", found.first());
    // And with files.
    let mut table = machine("include 0.conf\n");
    for n in 0..30 {
        let text = format!("include {m}.conf\ninclude {m}.conf\n", m = n + 1);
        table = table.file(&format!("/etc/k/{n}.conf"), &text);
    }
    assert!(findings(&table).iter().any(|line| line.contains("more than 20000 files")));
}

#[test]
fn a_nul_byte_is_an_error_with_its_place() {
    let found = findings(&machine("global_defs {\n rou\0ter_id a\n}\n"));
    assert!(found.iter().any(|one| one.starts_with("2:5 error: 1 NUL bytes")), "{found:?}");
}

#[test]
fn a_continued_line_that_defines_nothing_is_warned_of() {
    let found = findings(&machine("global_defs {\n router_id a \\\n}\n"));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("2:2 warning: a \\ at the end"), "{found:?}");
}

#[test]
fn a_sign_in_quotes_is_no_comment_and_a_sign_in_a_word_is() {
    let name = |text: &str| {
        let plan = load(&machine(&format!("vrrp_instance {text} {{\n interface eth0\n virtual_router_id 1\n virtual_ipaddress {{\n10.0.0.1\n}}\n}}\n"))).plan.unwrap();
        plan.vrrp.instances[0].name.to_string()
    };
    assert_eq!(name("\"a#b\""), "a#b");
    assert_eq!(name("\"a${_HASH}b\""), "a#b");
    assert_eq!(name("a\\#b"), "a#b");
}
