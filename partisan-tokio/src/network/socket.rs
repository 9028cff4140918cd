//! Socket options.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Sets what every connection needs. An option that the system refuses is done without: the
/// protocol has its own keep-alive.
pub(super) fn prepare(stream: &TcpStream, timeout: Duration) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY refused");
    }
    let socket = SockRef::from(stream);
    let probe = timeout.max(Duration::from_secs(1));
    let keepalive =
        TcpKeepalive::new().with_time(probe).with_interval((probe / 3).max(Duration::from_secs(1)));
    if let Err(error) = socket.set_tcp_keepalive(&keepalive) {
        tracing::debug!(%error, "SO_KEEPALIVE refused");
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = socket.set_tcp_user_timeout(Some(timeout)) {
        tracing::debug!(%error, "TCP_USER_TIMEOUT refused");
    }
}
