//! Options and timeouts that this version refuses, each with the way out.

use super::proxy::Keyword;
use super::table::{BACK, FRONT, PROXIES, refused};
use crate::row::Row;

const CHECKS: &str = "use `check` alone, or option httpchk GET /path";
const HEALTH_LOGS: &str = "changes of servers are always logged; remove the line";
const STICKY: &str = "requests are spread by weight; remove the line";
const LOGS: &str = "use option httplog or option tcplog";
const SPLICE: &str = "bytes are moved in the kernel where that pays; remove the line";
const SOCKETS: &str = "sockets have sensible settings; remove the line";
const SERVERS: &str = "write one `server` line with its address per server";
const REQUESTS: &str = "requests are read strictly and forwarded as they are; remove the line";

/// The rows.
pub(super) static ROWS: &[Row<Keyword>] = &[
    refused("option abortonclose", BACK, "use maxconn"),
    refused("option accept-invalid-http-request", FRONT, REQUESTS),
    refused("option accept-invalid-http-response", BACK, REQUESTS),
    refused("option accept-unsafe-violations-in-http-request", FRONT, REQUESTS),
    refused("option accept-unsafe-violations-in-http-response", BACK, REQUESTS),
    refused(
        "option allbackups",
        BACK,
        "the first backup server that is up takes all; remove the line",
    ),
    refused("option assume-rfc6587-ntf", FRONT, "remove the line"),
    refused("option checkcache", BACK, REQUESTS),
    refused("option clitcpka", FRONT, SOCKETS),
    refused("option contstats", FRONT, LOGS),
    refused("option disable-h2-upgrade", FRONT, REQUESTS),
    refused("option dont-parse-log", FRONT, "remove the line"),
    refused("option dontlog-normal", FRONT, LOGS),
    refused("option external-check", BACK, CHECKS),
    refused("option forceclose", PROXIES, "use option httpclose"),
    refused("option h1-case-adjust-bogus-client", FRONT, REQUESTS),
    refused("option h1-case-adjust-bogus-server", BACK, REQUESTS),
    refused("option http-buffer-request", PROXIES, REQUESTS),
    refused("option http-drop-request-trailers", BACK, REQUESTS),
    refused("option http-drop-response-trailers", FRONT, REQUESTS),
    refused("option http-ignore-probes", FRONT, REQUESTS),
    refused("option http-no-delay", PROXIES, REQUESTS),
    refused("option http-pretend-keepalive", BACK, REQUESTS),
    refused("option http-restrict-req-hdr-names", PROXIES, REQUESTS),
    refused("option http-tunnel", PROXIES, "connections stay open by default; remove the line"),
    refused("option http-use-htx", PROXIES, "remove the line"),
    refused("option http-use-proxy-header", FRONT, REQUESTS),
    refused("option httpsize", PROXIES, "remove the line"),
    refused("option httpslog", FRONT, LOGS),
    refused("option idle-close-on-response", FRONT, REQUESTS),
    refused("option independent-streams", PROXIES, REQUESTS),
    refused("option ldap-check", BACK, CHECKS),
    refused("option log-health-checks", BACK, HEALTH_LOGS),
    refused("option log-separate-errors", FRONT, LOGS),
    refused("option log-steps", PROXIES, LOGS),
    refused("option logasap", FRONT, LOGS),
    refused("option mysql-check", BACK, CHECKS),
    refused("option nolinger", PROXIES, SOCKETS),
    refused("option originalto", PROXIES, "use option forwardfor"),
    refused("option persist", BACK, STICKY),
    refused("option pgsql-check", BACK, CHECKS),
    refused("option prefer-last-server", BACK, STICKY),
    refused("option redis-check", BACK, CHECKS),
    refused("option smtpchk", BACK, CHECKS),
    refused("option socket-stats", FRONT, LOGS),
    refused("option splice-auto", PROXIES, SPLICE),
    refused("option splice-request", PROXIES, SPLICE),
    refused("option splice-response", PROXIES, SPLICE),
    refused("option spop-check", BACK, CHECKS),
    refused("option srvtcpka", BACK, SOCKETS),
    refused("option ssl-hello-chk", BACK, CHECKS),
    refused("option tcp-check", BACK, CHECKS),
    refused("option tcp-smart-accept", FRONT, SOCKETS),
    refused("option tcp-smart-connect", BACK, SOCKETS),
    refused("option tcpka", PROXIES, SOCKETS),
    refused(
        "option tcpsplice",
        PROXIES,
        "bytes are moved in the kernel where that pays; remove the line",
    ),
    refused("option transparent", BACK, SERVERS),
    refused("timeout client-fin", FRONT, "timeout client bounds this too; remove the line"),
    refused("timeout clitimeout", FRONT, "use timeout client"),
    refused("timeout contimeout", BACK, "use timeout connect"),
    refused("timeout server-fin", BACK, "timeout server bounds this too; remove the line"),
    refused("timeout srvtimeout", BACK, "use timeout server"),
    refused(
        "timeout tarpit",
        PROXIES,
        "no rule of this version holds a request back; remove the line",
    ),
];
