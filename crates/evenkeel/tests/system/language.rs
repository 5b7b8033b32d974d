//! Debian's `keepalived -t` and `evenkeel check` say the same about every snippet of the language.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// A directory that goes away with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        let path = std::env::temp_dir().join(format!("ek-language-{}", std::process::id()));
        fs::create_dir_all(path.join("conf.d")).expect("a directory");
        Directory(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("a file");
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const GLOBAL: &str = "global_defs {\n LINES\n}\n";
const SERVERS: &str =
    "virtual_server 10.9.0.1 80 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n LINES\n}\n";

/// Before the block, what replaces LINES in it, and whether both accept it.
type Snippet = (&'static str, &'static str, &'static str, bool);

const SNIPPETS: &[Snippet] = &[
    // Conditions.
    ("", GLOBAL, "@main router_id a\n @other nonsense\n @^main nonsense", true),
    ("", GLOBAL, "@other router_id a\n @main nonsense", false),
    ("", GLOBAL, "@^other nonsense", false),
    ("", GLOBAL, "@main", true),
    ("", GLOBAL, "@ router_id a", true),
    ("", GLOBAL, "@mainly nonsense", true),
    ("$IF=@other", GLOBAL, "$IF nonsense", true),
    ("$IF=@main", GLOBAL, "$IF nonsense", false),
    ("@main $A=router_id", GLOBAL, "$A x", true),
    ("@other $A=router_id", GLOBAL, "$A x", false),
    // Parameters.
    ("$A=router_id", GLOBAL, "$A ${A}x", true),
    ("$A=nonsense", GLOBAL, "$A x", false),
    ("$A=${B}_id\n$B=router", GLOBAL, "${A} x", true),
    ("$A1=router_id\n$N=1", GLOBAL, "${A${N}} x", true),
    ("$A =router_id", GLOBAL, "$A x", false),
    ("$1=router_id", GLOBAL, "$1 x", false),
    ("", GLOBAL, "router_id \"${UNDEFINED} $UNDEFINED\"", true),
    ("", GLOBAL, "router_id $UNDEFINED", true),
    ("", GLOBAL, "router_id ${UNDEFINED}", false),
    ("", GLOBAL, "$A=router_id\n $A x", true),
    ("$A=", GLOBAL, "$A router_id a", true),
    ("$A=${A}x", GLOBAL, "router_id $A", false),
    ("", GLOBAL, "router_id ${_INSTANCE}-${_PWD}-${_RANDOM}", true),
    ("", GLOBAL, "router_id a${_HASH} { } nonsense", true),
    ("", GLOBAL, "router_id \"${_BANG}\"", true),
    // Definitions of several lines.
    ("$A= \\\nglobal_defs { \\\n router_id x \\\n}\n\n$A", GLOBAL, "", true),
    ("$A= \\\nglobal_defs { \\\n nonsense \\\n}\n\n$A", GLOBAL, "", false),
    ("$A= \\\nglobal_defs { \\\n\n router_id x\n}\n", GLOBAL, "", false),
    ("$A= \\\nglobal_defs { \\\n# nothing \\\n router_id x \\\n}\n$A", GLOBAL, "", true),
    ("$A= \\\nglobal_defs { \\\n# nothing\n router_id x \\\n}\n$A", GLOBAL, "", false),
    ("$A= \\\nrouter_id x \\\n@main $B\n\n$B= \\\nrouter_id y\n", GLOBAL, "$A", true),
    // Sequences and lists.
    ("", SERVERS, "~SEQ(N, 1, 3) real_server 10.0.0.${N} 80 { weight 1 }", true),
    ("", SERVERS, "~SEQ(N,5,-2,1) real_server 10.0.0.${N} 80 { weight 1 }", true),
    ("", SERVERS, "~SEQ(N,1,0,3) real_server 10.0.0.${N} 80 { weight 1 }", false),
    ("", SERVERS, "~SEQ(N,1,-1,3) real_server 10.0.0.${N} 80 { weight 1 }", false),
    ("", SERVERS, "~SEQ(N,one) real_server 10.0.0.${N} 80 { weight 1 }", false),
    ("", SERVERS, "~SEQx(N,-1,3) real_server 10.0.0.${N} 80 { weight 1 }", false),
    ("", SERVERS, "~SEQ real_server 10.0.0.1 80 { weight 1 }", false),
    ("$L=3", SERVERS, "~SEQ(N, $L) real_server 10.0.0.${N} 80 { weight 1 }", true),
    ("", SERVERS, "~SEQ(A,1,2) ~SEQ(B,1,2) real_server 10.0.${A}.${B} 80 { weight 1 }", true),
    ("", SERVERS, "~LST(N, 1, 2) real_server 10.0.0.${N} 80 { weight 1 }", true),
    ("", SERVERS, "~LST({A, B}, {1,2},{3}) real_server 10.0.${A}.1${B} 80 { weight 1 }", true),
    ("", SERVERS, "~LST({A, B}, {1,2,3}) real_server 10.0.${A}.${B} 80 { weight 1 }", false),
    ("", SERVERS, "~LST(N) real_server 10.0.0.${N} 80 { weight 1 }", false),
    ("", GLOBAL, "~FOO(N, 1) router_id a", false),
    // Includes.
    ("include good.conf", GLOBAL, "", true),
    ("include bad.conf", GLOBAL, "", false),
    ("include conf.d/*.conf", GLOBAL, "", true),
    ("include conf.d/{a,none}.conf", GLOBAL, "", true),
    ("includeb conf.d/{a,none}.conf", GLOBAL, "", false),
    ("include none.conf", GLOBAL, "", true),
    ("includer none.conf", GLOBAL, "", true),
    ("includem none.conf", GLOBAL, "", false),
    ("includem none*.conf", GLOBAL, "", true),
    ("includew none*.conf", GLOBAL, "", false),
    ("includer conf.d", GLOBAL, "", false),
    ("include conf.d", GLOBAL, "", true),
    ("include", GLOBAL, "", false),
    ("", GLOBAL, "include_check\n include none.conf", false),
    ("", GLOBAL, "include_check match\n include none*.conf", true),
    ("", GLOBAL, "include_check\n include_check -match\n include none.conf", true),
    ("", GLOBAL, "include_check sometimes", false),
    ("", GLOBAL, "include inner.inc", true),
    // Comments and quotes.
    ("# { nonsense\n! } nonsense", GLOBAL, "router_id a # { b", true),
    ("", GLOBAL, "router_id \"a # b { c\"", true),
    ("", GLOBAL, "router_id \"a", false),
    ("", GLOBAL, "router_id it's", true),
    ("", GLOBAL, "router_id a\\#b", true),
    ("", GLOBAL, "router_id abc \\", true),
    ("", GLOBAL, "router_id \\\n abc", false),
];

fn run(mut command: Command) -> (ExitStatus, String) {
    let output = command.output().expect("a program that starts");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text += &String::from_utf8_lossy(&output.stderr);
    (output.status, text)
}

fn keepalived(directory: &Directory, file: &str) -> (bool, String) {
    let mut command = Command::new("keepalived");
    command.args(["-t", "-i", "main", "-f", file]);
    for (option, name) in [("-p", "p.pid"), ("-r", "r.pid"), ("-c", "c.pid")] {
        command.args([option, &directory.path(name)]);
    }
    let (status, text) = run(command);
    (status.success(), text)
}

fn evenkeel(file: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.args(["check", "-i", "main", "--keepalived", file]);
    let (status, text) = run(command);
    (status.success(), text)
}

#[test]
fn both_programs_accept_and_refuse_the_same_snippets() {
    let is_there = ["/usr/sbin/keepalived", "/usr/bin/keepalived"];
    if !is_there.iter().any(|path| Path::new(path).exists()) {
        println!("skipped: Debian's keepalived is not installed");
        return;
    }
    let directory = Directory::new();
    directory.write("good.conf", "global_defs {\n router_id g\n}\n");
    directory.write("bad.conf", "nonsense\n");
    directory.write("inner.inc", "include conf.d/inner.inc\n");
    directory.write("conf.d/inner.inc", "include ../good.inc\n");
    directory.write("good.inc", "router_id inner\n");
    directory.write("conf.d/a.conf", "global_defs {\n router_id a\n}\n");
    directory.write("conf.d/b.conf", "global_defs {\n router_id b\n}\n");
    let file = directory.path("k.conf");
    let mut differences = Vec::new();
    for &(before, block, lines, is_good) in SNIPPETS {
        let text = format!("{before}\n{}{SOMETHING}", block.replace("LINES", lines));
        directory.write("k.conf", &text);
        for (program, (accepts, said)) in
            [("keepalived", keepalived(&directory, &file)), ("evenkeel", evenkeel(&file))]
        {
            if accepts != is_good {
                differences.push(format!("{program} says {accepts} about\n{text}\n{said}"));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n----\n"));
}

/// A configuration has something to do.
const SOMETHING: &str = "virtual_server 10.0.0.9 80 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n \
                         real_server 10.0.0.8 80 {\n  weight 1\n }\n}\n";
