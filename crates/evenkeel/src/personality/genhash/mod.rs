//! `genhash`: the digest of a page, for HTTP_GET and SSL_GET of keepalived.conf (genhash(1)).

mod dump;
mod fetch;
mod options;
mod tls;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use fetch::End;

const USAGE: &str = "Commands:
   -s server-address -p port -u url
   -S -s server-address -p port -u url
   -h

Options:
Either long or short options are allowed.
   --use-ssl         -S       Use SSL connection to remote server.
   --use-sni         -I       Use SNI during SSL handshake (uses virtualhost setting; see -V).
   --server          -s       Use the specified remote server address.
   --port            -p       Use the specified remote server port.
   --url             -u       Use the specified remote server url.
   --use-virtualhost -V       Use the specified virtualhost in GET query.
   --verbose         -v       Use verbose mode output.
   --help            -h       Display this short inlined help screen.
   --fwmark          -m       Use the specified FW mark.
   --protocol        -P       Use the specified HTTP protocol - '1.0', 1.0c', '1.1'.
                                1.0c means 1.0 with 'Connection: close'
   --timeout         -t       Timeout in seconds
";

/// Does what genhash does for these words; `program` is what the usage calls it. The exit code is
/// 0 even when there was no page: genhash's callers look at what is printed.
pub(crate) fn run(program: &str, words: &[OsString]) -> ExitCode {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let options = match options::parse(&words) {
        Ok(options) => options,
        Err(complaints) => {
            complaints.iter().for_each(|complaint| eprintln!("{complaint}"));
            eprint!("Usage: {program} COMMAND [OPTIONS]\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let start = Instant::now();
    match fetch::fetch(&options, &mut say) {
        End::Digest(digest) => say(&format!("{}\n", hex(&digest))),
        End::Empty => eprintln!("no data received from remote webserver"),
        End::Failed(words) => say(&format!("{words}\n")),
    }
    if options.verbose {
        let spent = start.elapsed().as_micros();
        say(&format!("\nGlobal response time for [{}] = {spent} usecs\n", options.url));
    }
    ExitCode::SUCCESS
}

/// To standard output; a reader that has gone is no matter.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
