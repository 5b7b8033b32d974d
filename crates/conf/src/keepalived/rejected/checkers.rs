//! Checkers and their options.

use super::refused;
use crate::keepalived::keyword::KeywordRow;
use crate::keepalived::keyword::section::{HTTP_GET, REAL_SERVER, TCP_CHECK, TOP, URL};

#[rustfmt::skip]
pub(super) const TLS: &[KeywordRow] = refused![&[REAL_SERVER], "use TCP_CHECK, or HTTP_GET with connect_port of a plain HTTP port";
    "SSL_GET": "HTTP_GET over TLS.",
];

#[rustfmt::skip]
pub(super) const SCRIPTS: &[KeywordRow] = refused![&[REAL_SERVER], "use TCP_CHECK or HTTP_GET; scripts as checkers are planned";
    "MISC_CHECK": "Runs a script.",
    "FILE_CHECK": "Follows a file.",
];

#[rustfmt::skip]
pub(super) const OTHERS: &[KeywordRow] = refused![&[REAL_SERVER], "use TCP_CHECK";
    "SMTP_CHECK": "Speaks SMTP.",
    "DNS_CHECK": "Asks a name server.",
    "UDP_CHECK": "Sends a UDP packet.",
    "PING_CHECK": "Sends an ICMP echo.",
    "BFD_CHECK": "Follows a BFD session.",
];

#[rustfmt::skip]
pub(super) const OPTIONS: &[KeywordRow] = refused![&[TCP_CHECK, HTTP_GET], "remove it; use bindto to choose where checks come from";
    "bind_if": "Interface the check connects from.",
    "fwmark": "Firewall mark of the check's packets.",
];

#[rustfmt::skip]
pub(super) const URL_OPTIONS: &[KeywordRow] = refused![&[HTTP_GET, URL], "remove it; use digest or status_code";
    "http_protocol": "HTTP version of the request.",
    "fast_recovery": "No pause between the pages after a failure.",
    "enable_sni": "Server name in the TLS handshake.",
    "regex": "Pattern that the page must match.",
    "regex_no_match": "The page must not match.",
    "regex_options": "Options of the pattern.",
    "regex_stack": "Memory of the pattern.",
    "regex_min_offset": "Where matching begins.",
    "regex_max_offset": "Where matching ends.",
];

#[rustfmt::skip]
pub(super) const BLOCK_KEYWORDS: &[KeywordRow] = refused![&["SMTP_CHECK", "DNS_CHECK", "MISC_CHECK", "UDP_CHECK", "FILE_CHECK", "SSL"], "use TCP_CHECK or HTTP_GET instead of the block around it";
    "helo_name": "Name in SMTP_CHECK's HELO.",
    "host": "Target of SMTP_CHECK.",
    "type": "Record type of DNS_CHECK.",
    "name": "Name asked by DNS_CHECK.",
    "misc_path": "Script of MISC_CHECK.",
    "misc_timeout": "Bound on the script.",
    "misc_dynamic": "The script's result sets the weight.",
    "user": "User that the script runs as.",
    "payload": "Bytes sent by UDP_CHECK.",
    "require_reply": "UDP_CHECK waits for an answer.",
    "min_reply_length": "Least length of the answer.",
    "max_reply_length": "Greatest length of the answer.",
    "dynamic": "The file's value sets the weight.",
    "password": "Password of the TLS key.",
    "ca": "Certificate authorities.",
    "certificate": "Client certificate.",
    "key": "Client key.",
];

#[rustfmt::skip]
pub(super) const TLS_SETTINGS: &[KeywordRow] = refused![&[TOP], "remove it; checks over TLS are planned";
    "SSL": "Settings of SSL_GET.",
];

#[rustfmt::skip]
pub(super) const FILES: &[KeywordRow] = refused![&["FILE_CHECK"], "remove it; tracking by real servers is planned";
    "track_file": "A file whose value is followed.",
];
