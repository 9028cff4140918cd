//! Dials: every address in order, each within its timeout.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use partisan_proto::{Address, Host, OpenError};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::socket::prepare;

/// Opens a connection to the first address that answers; the error is that of the last one.
///
/// Host names are resolved anew each time, within the timeout of their address; all that a name
/// resolves to is tried.
pub(crate) async fn dial(
    addresses: Arc<[Address]>,
    per_address: Duration,
    tcp_timeout: Duration,
) -> Result<TcpStream, OpenError> {
    let mut last = OpenError::NoAddress;
    for address in addresses.iter() {
        let attempt = dial_one(address, per_address);
        match timeout(per_address, attempt).await {
            Ok(Ok(stream)) => {
                prepare(&stream, tcp_timeout);
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = OpenError::TimedOut,
        }
        tracing::debug!(%address, error = %last, "dial failed");
    }
    Err(last)
}

async fn dial_one(address: &Address, within: Duration) -> Result<TcpStream, OpenError> {
    let targets: Vec<SocketAddr> = match &address.host {
        Host::Ip(ip) => vec![SocketAddr::new(*ip, address.port)],
        Host::Name(name) => {
            let found = lookup_host((&**name, address.port)).await;
            found.map_err(|_| OpenError::Unresolved)?.collect()
        }
    };
    // One silent target must not use up the time of the others.
    let share = within / u32::try_from(targets.len().max(1)).unwrap_or(1);
    let mut last = OpenError::Unresolved;
    for target in targets {
        match timeout(share, TcpStream::connect(target)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = classify(&error),
            Err(_) => last = OpenError::TimedOut,
        }
    }
    Err(last)
}

fn classify(error: &io::Error) -> OpenError {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => OpenError::Refused,
        ErrorKind::TimedOut => OpenError::TimedOut,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            OpenError::Unreachable
        }
        _ => OpenError::System,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn try_dial(texts: &[String]) -> Result<TcpStream, OpenError> {
        let addresses = texts.iter().map(|text| text.parse().unwrap()).collect();
        let second = Duration::from_secs(1);
        dial(addresses, second, second).await
    }

    async fn closed_port() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    }

    #[tokio::test]
    async fn a_dead_first_address_does_not_matter() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap().to_string();
        try_dial(&[closed_port().await, open]).await.unwrap();
    }

    #[tokio::test]
    async fn names_are_resolved_and_both_families_dialled() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        try_dial(&[format!("localhost:{port}")]).await.unwrap();
        if let Ok(listener) = TcpListener::bind("[::1]:0").await {
            let open = listener.local_addr().unwrap().to_string();
            try_dial(&[open]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn each_failure_has_its_error() {
        let error = try_dial(&[closed_port().await]).await.unwrap_err();
        assert_eq!(error, OpenError::Refused);
        let error = try_dial(&[]).await.unwrap_err();
        assert_eq!(error, OpenError::NoAddress);
        let error = try_dial(&["no-such-host.invalid:1".into()]).await.unwrap_err();
        assert!(matches!(error, OpenError::Unresolved | OpenError::TimedOut));
    }
}
