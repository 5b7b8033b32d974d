//! `SSL`: what SSL_GET shows to servers.

use alloc::string::{String, ToString};

use model::layer4::TlsFiles;

use crate::keepalived::ast::Configuration;
use crate::keepalived::keyword::section::{SSL, TOP};
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("SSL", &[TOP]).syntax("{ ... }").example("{ certificate /etc/ssl/a.pem; key /etc/ssl/a.key }")
        .doc("The certificate that SSL_GET shows to servers that ask for one.")
        .parse(Rule::block(Fill::Top(ssl), SSL)),
    keyword("certificate", &[SSL]).syntax("PATH").example("/etc/ssl/b.pem")
        .doc("Our certificate in PEM, and those between it and an authority.")
        .parse(Rule::value(Fill::Tls(certificate))),
    keyword("key", &[SSL]).syntax("PATH").example("/etc/ssl/b.key")
        .doc("Our private key in PEM.")
        .parse(Rule::value(Fill::Tls(key))),
    keyword("ca", &[SSL]).syntax("PATH").example("/etc/ssl/ca.pem")
        .doc("Certificate authorities.")
        .no_effect("checkers do not verify the certificates of servers, as Keepalived's do not", Rule::value(Fill::Check(ca))),
    keyword("password", &[SSL]).syntax("PASSWORD")
        .doc("Password of the private key.")
        .rejected("decrypt the key (openssl pkey -in KEY -out PLAIN), let root alone read it, and remove the password"),
];

fn ssl(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    reader.no_more(statement, 0);
    let mut files = TlsFiles::default();
    let written = reader.fields(reader.block(statement), |reader, statement, fill| {
        if let Fill::Tls(parse) = fill {
            parse(reader, statement, &mut files);
        }
    });
    if written.has("certificate") != written.has("key") {
        let message = "a certificate and its key belong together".to_string();
        reader.error(statement.header(), message, "write both, certificate PATH and key PATH");
    }
    to.tls = files;
}

fn path(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<String> {
    reader.argument(statement, "a path").map(|word| word.text.to_string())
}

fn certificate(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut TlsFiles) {
    to.certificate = path(reader, statement);
}

fn key(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut TlsFiles) {
    to.key = path(reader, statement);
}

fn ca(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    path(reader, statement);
}
