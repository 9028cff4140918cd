//! The limits of the driver: queues, mailboxes, deadlines.

use std::time::Duration;

use partisan_proto::ConfigError;
use partisan_proto::config::duration_text;
use serde::{Deserialize, Serialize};

/// The limits of the driver. Every queue it has is bounded by one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DriverConfig {
    /// The most bytes of application frames that one connection holds, queued or being written,
    /// 1 KiB to 1 GiB; a longer frame waits until it is alone. At the bound `send` waits and
    /// `try_send` fails. Default 1 MiB.
    pub lane_queue_bytes: usize,
    /// The most control frames that wait on one connection, 16 to 65,536. At the bound the peer
    /// does not read, and the connection is closed as stalled. Default 1,024.
    pub control_queue_frames: usize,
    /// The most bytes of what processes tell each other besides messages and calls (monitors, links,
    /// exit signals) that wait on one connection, 64 KiB to 1 GiB; twice `loop_bytes` or more. At half
    /// of it whoever tells more waits; at the bound the peer does not read, and the connection is
    /// closed as stalled. Default 32 MiB.
    pub signal_queue_bytes: usize,
    /// The most messages that wait in a mailbox, besides the batch that its reader has taken.
    /// At the bound the connections they come from are not read any further. Default 65,536.
    pub mailbox_messages: usize,
    /// The most bytes of payload that wait in a mailbox, counted as above; the message that
    /// crosses the bound is still taken. Default 16 MiB.
    pub mailbox_bytes: usize,
    /// The most bytes of relayed and broadcast messages, of requests, answers and what else
    /// processes do, that the loop is given at a time, 64 KiB to 1 GiB; a longer one waits until it
    /// is alone. At the bound the connections that bring them are not read any further, and
    /// processes wait. Default 16 MiB.
    pub loop_bytes: usize,
    /// How long a connection that is closed on purpose may take to write what is queued and to
    /// see the peer's end. Default 5 s.
    #[serde(with = "duration_text")]
    pub flush_deadline: Duration,
    /// How long a shutdown waits for all connections together before it drops them; at least
    /// twice the flush deadline lets every connection have its own. Default 12 s.
    #[serde(with = "duration_text")]
    pub shutdown_grace: Duration,
    /// The most accepted connections whose handshake is unfinished or that are being closed; no
    /// other is accepted meanwhile. More than `connections.max_pending`, which refuses politely.
    /// Default 1,024.
    pub accept_backlog: usize,
    /// How long a store of broadcasts or a cost oracle of the application may take for one answer.
    /// Default 5 s.
    #[serde(with = "duration_text")]
    pub answer_deadline: Duration,
    /// How long processes that trap exits may take to end when the node stops, before they are
    /// killed. Default 5 s.
    #[serde(with = "duration_text")]
    pub process_grace: Duration,
    /// The most registered functions that run at a time for requests, 1 to 1,048,576; a request
    /// beyond is answered [`Failure::Overloaded`](partisan_proto::call::Failure::Overloaded).
    /// Default 4,096.
    pub running_functions: usize,
    /// The most messages that interposers delay at a time, up to 1,048,576; others pass at once, and
    /// are counted. Default 65,536.
    pub delayed_messages: usize,
    /// How many bytes one read asks for, 1 KiB to 16 MiB. Default 64 KiB.
    pub read_chunk: usize,
    /// How many events wait for the slowest subscriber before it misses some. Default 1,024.
    pub event_queue: usize,
    /// The silence after which the operating system probes a connection, and how long it waits
    /// for sent bytes to be acknowledged before it gives the connection up. Default 30 s.
    #[serde(with = "duration_text")]
    pub tcp_timeout: Duration,
}

impl Default for DriverConfig {
    fn default() -> Self {
        Self {
            lane_queue_bytes: 1 << 20,
            control_queue_frames: 1024,
            signal_queue_bytes: 32 << 20,
            mailbox_messages: 1 << 16,
            mailbox_bytes: 16 << 20,
            loop_bytes: 16 << 20,
            flush_deadline: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(12),
            accept_backlog: 1024,
            answer_deadline: Duration::from_secs(5),
            process_grace: Duration::from_secs(5),
            running_functions: 4096,
            delayed_messages: 1 << 16,
            read_chunk: 64 << 10,
            event_queue: 1024,
            tcp_timeout: Duration::from_secs(30),
        }
    }
}

impl DriverConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// The first [`ConfigError`] found; it names the key and says what to write instead.
    pub fn validate(&self) -> Result<(), ConfigError> {
        within("driver.lane_queue_bytes", self.lane_queue_bytes, 1 << 10, 1 << 30)?;
        within("driver.control_queue_frames", self.control_queue_frames, 16, 1 << 16)?;
        within("driver.signal_queue_bytes", self.signal_queue_bytes, 64 << 10, 1 << 30)?;
        within("driver.mailbox_messages", self.mailbox_messages, 1, 1 << 30)?;
        within("driver.mailbox_bytes", self.mailbox_bytes, 1, 1 << 36)?;
        within("driver.loop_bytes", self.loop_bytes, 64 << 10, 1 << 30)?;
        within("driver.accept_backlog", self.accept_backlog, 1, 1 << 20)?;
        within("driver.running_functions", self.running_functions, 1, 1 << 20)?;
        within("driver.delayed_messages", self.delayed_messages, 0, 1 << 20)?;
        within("driver.read_chunk", self.read_chunk, 1 << 10, 16 << 20)?;
        within("driver.event_queue", self.event_queue, 1, 1 << 20)?;
        for (key, span) in [
            ("driver.flush_deadline", self.flush_deadline),
            ("driver.shutdown_grace", self.shutdown_grace),
            ("driver.tcp_timeout", self.tcp_timeout),
            ("driver.answer_deadline", self.answer_deadline),
            ("driver.process_grace", self.process_grace),
        ] {
            if span.is_zero() {
                return Err(ConfigError::Zero { key });
            }
        }
        Ok(())
    }
}

const fn within(
    key: &'static str,
    given: usize,
    least: usize,
    most: usize,
) -> Result<(), ConfigError> {
    if given < least || given > most {
        return Err(ConfigError::Range {
            key,
            given: given as u64,
            least: least as u64,
            most: most as u64,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        DriverConfig::default().validate().unwrap();
    }

    #[test]
    fn each_bad_value_names_its_key() {
        let check = |change: fn(&mut DriverConfig)| {
            let mut config = DriverConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(check(|c| c.lane_queue_bytes = 0).contains("driver.lane_queue_bytes"));
        assert!(check(|c| c.control_queue_frames = 1).contains("driver.control_queue_frames"));
        assert!(check(|c| c.signal_queue_bytes = 1).contains("driver.signal_queue_bytes"));
        assert!(check(|c| c.mailbox_messages = 0).contains("driver.mailbox_messages"));
        assert!(check(|c| c.loop_bytes = 1).contains("driver.loop_bytes"));
        assert!(check(|c| c.running_functions = 0).contains("driver.running_functions"));
        assert!(check(|c| c.process_grace = Duration::ZERO).contains("driver.process_grace"));
        assert!(check(|c| c.delayed_messages = 2 << 20).contains("driver.delayed_messages"));
        assert!(check(|c| c.read_chunk = 1).contains("driver.read_chunk"));
        assert!(check(|c| c.flush_deadline = Duration::ZERO).contains("driver.flush_deadline"));
    }
}
