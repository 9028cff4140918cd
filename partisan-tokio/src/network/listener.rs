//! Listens: one task an address.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use partisan_proto::{Address, Host};
use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio::sync::{Semaphore, mpsc};

use super::socket::prepare;
use crate::error::StartError;
use crate::event_loop::LoopEvent;

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Starts listening at an address.
pub(crate) async fn bind(address: &Address, backlog: usize) -> Result<TcpListener, StartError> {
    let unresolved = || StartError::Unresolved { address: address.clone() };
    let target = match &address.host {
        Host::Ip(ip) => SocketAddr::new(*ip, address.port),
        Host::Name(name) => {
            let mut found = lookup_host((&**name, address.port)).await.map_err(|_| unresolved())?;
            found.next().ok_or_else(unresolved)?
        }
    };
    bind_socket(target, backlog).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => StartError::AddressInUse { address: address.clone() },
        _ => StartError::Bind { address: address.clone(), error },
    })
}

fn bind_socket(target: SocketAddr, backlog: usize) -> io::Result<TcpListener> {
    let socket = match target {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Elsewhere this option would let two programs share a port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(target)?;
    socket.listen(u32::try_from(backlog).unwrap_or(u32::MAX))
}

/// Accepts connections for ever. Errors (too many open files, a connection that is gone already)
/// are counted and make it pause, longer each time, at most a second.
pub(crate) async fn accept(
    listener: TcpListener,
    pending: Arc<Semaphore>,
    events: mpsc::Sender<LoopEvent>,
    errors: Arc<AtomicU64>,
    tcp_timeout: Duration,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&pending).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, from)) => {
                pause = FIRST_PAUSE;
                prepare(&stream, tcp_timeout);
                tracing::debug!(%from, "accepted");
                let accepted = LoopEvent::Accepted { stream, place };
                if events.send(accepted).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                if errors.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::warn!(%error, "cannot accept connections; pausing");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
