//! Reads the file of tokens again while the server runs: when it changes, and at SIGHUP.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use api::access::TokensFileWatch;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// The time between two looks at the file. Looking works on every file system and for every way to replace a file.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// The signal SIGHUP.
pub(crate) struct Hangup(Signal);

impl Hangup {
    /// Takes the signal over: from now on it does not end the process.
    ///
    /// Returns none, and leaves the signal alone, on a terminal without a file of tokens: there it says that the
    /// terminal has been closed.
    pub(crate) fn new(has_tokens_file: bool) -> io::Result<Option<Self>> {
        if !has_tokens_file && io::stderr().is_terminal() {
            return Ok(None);
        }
        Ok(Some(Self(signal(SignalKind::hangup())?)))
    }

    async fn next(hangup: &mut Option<Self>) {
        let received = match hangup {
            Some(Self(signal)) => signal.recv().await,
            None => None,
        };
        if received.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// Watches over the file of tokens until `stop`.
pub(crate) async fn watch(mut file: Option<TokensFileWatch>, mut hangup: Option<Hangup>, stop: CancellationToken) {
    let watching = async {
        loop {
            let look = async {
                sleep(LOOK_PERIOD).await;
                if file.is_none() {
                    std::future::pending::<()>().await;
                }
            };
            let is_hangup = tokio::select! { () = Hangup::next(&mut hangup) => true, () = look => false };
            match (&mut file, is_hangup) {
                (Some(file), true) => {
                    info!("SIGHUP, reading the file of tokens again");
                    file.read_again().await;
                }
                (Some(file), false) => file.look().await,
                (None, _) => info!("SIGHUP, and there is no file of tokens to read again"),
            }
        }
    };
    // A read on a dead network file system does not hold up the end.
    let _: Option<std::convert::Infallible> = stop.run_until_cancelled(watching).await;
}
