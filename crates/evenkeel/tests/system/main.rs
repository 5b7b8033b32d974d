//! Real processes, sockets and packets, in network namespaces of their own.

mod site;
mod whole;
