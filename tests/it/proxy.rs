//! A proxy between the service and its database, or a client and the service, that fails as networks do.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// The server's response to a commit: the tag of a `CommandComplete` message,
/// <https://www.postgresql.org/docs/15/protocol-message-formats.html>.
const COMMITTED: &[u8] = b"COMMIT\0";
/// The server's response with one row, such as the clock.
const ONE_ROW: &[u8] = b"SELECT 1\0";

/// The command that commits a transaction that was prepared.
const PREPARED: &[u8] = b"COMMIT PREPARED";

/// Carries connections to a server. Dropped, it cuts them all.
pub(crate) struct Proxy {
    pub(crate) address: String,
    server: Arc<Mutex<String>>,
    line: watch::Sender<Line>,
    _tasks: JoinSet<()>,
}

/// The state of the network.
#[derive(Clone, Debug, Default)]
struct Line {
    /// Everything is taken and nothing is delivered, new connections included.
    stalled: bool,
    /// Connections that are older than so many cuts are reset.
    cuts: u64,
    /// Connections that are older than so many freezes deliver nothing any more, and never end.
    freezes: u64,
    /// The next connection whose recording has committed is reset before the response.
    loses_commit: bool,
    /// The next connection whose transaction has committed delivers nothing any more, the response neither, and never
    /// ends.
    freezes_commit: bool,
    /// The next connection that sends the commit of a prepared transaction is reset, and the server does not get the commit.
    loses_prepared: bool,
    /// The next connection that sends a commit alone delivers nothing any more, the commit neither.
    freezes_before_commit: bool,
    /// The next connection that has read the clock delivers nothing more.
    freezes_after_row: bool,
    /// The next connection that the server answers is reset before the answer.
    loses_response: bool,
}

impl Proxy {
    pub(crate) async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let line = watch::Sender::new(Line::default());
        let mut tasks = JoinSet::new();
        let server = Arc::new(Mutex::new(server));
        let (carried, leads_to) = (line.clone(), Arc::clone(&server));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = leads_to.lock().unwrap().clone();
                connections.spawn(carry(client, server, carried.clone()));
            }
        });
        Self { address, server, line, _tasks: tasks }
    }

    /// Carries new connections to another server.
    pub(crate) fn lead_to(&self, server: String) {
        *self.server.lock().unwrap() = server;
    }

    /// Resets every connection. New ones are carried.
    pub(crate) fn cut(&self) {
        self.line.send_modify(|line| line.cuts += 1);
    }

    /// Delivers nothing more, on open and new connections.
    pub(crate) fn stall(&self) {
        self.line.send_modify(|line| line.stalled = true);
    }

    /// Delivers the held-back bytes, and all later ones.
    pub(crate) fn resume(&self) {
        self.line.send_modify(|line| line.stalled = false);
    }

    /// Never again delivers anything on the open connections, nor ends them. New ones are carried.
    pub(crate) fn freeze(&self) {
        self.line.send_modify(|line| line.freezes += 1);
    }

    /// Resets the next connection that has recorded and committed, before its client learns of it. Only recording reads
    /// the clock in the same round trip as its commit.
    pub(crate) fn lose_next_commit(&self) {
        self.line.send_modify(|line| line.loses_commit = true);
    }

    /// Whether that has happened.
    pub(crate) fn has_lost_commit(&self) -> bool {
        !self.line.borrow().loses_commit
    }

    /// Freezes the next connection whose transaction is committed, before its client learns of it.
    pub(crate) fn freeze_next_commit(&self) {
        self.line.send_modify(|line| line.freezes_commit = true);
    }

    /// Whether that has happened.
    pub(crate) fn has_frozen_commit(&self) -> bool {
        !self.line.borrow().freezes_commit
    }

    /// Freezes the next connection that sends a commit alone, before the server gets it. Recording sends more with it.
    pub(crate) fn freeze_before_next_commit(&self) {
        self.line.send_modify(|line| line.freezes_before_commit = true);
    }

    /// Whether that has happened.
    pub(crate) fn has_frozen_before_commit(&self) -> bool {
        !self.line.borrow().freezes_before_commit
    }

    /// Resets the next connection that sends the commit of a prepared transaction, before the server gets it.
    #[cfg(feature = "citus-tests")]
    pub(crate) fn lose_next_prepared(&self) {
        self.line.send_modify(|line| line.loses_prepared = true);
    }

    /// Whether that has happened.
    #[cfg(feature = "citus-tests")]
    pub(crate) fn has_lost_prepared(&self) -> bool {
        !self.line.borrow().loses_prepared
    }

    /// Resets the next connection that the server answers, before its client gets the answer.
    pub(crate) fn lose_next_response(&self) {
        self.line.send_modify(|line| line.loses_response = true);
    }

    /// Whether that has happened.
    pub(crate) fn has_lost_response(&self) -> bool {
        !self.line.borrow().loses_response
    }

    /// Freezes the next connection that is answered with one row, right after that.
    pub(crate) fn freeze_after_next_row(&self) {
        self.line.send_modify(|line| line.freezes_after_row = true);
    }

    /// Whether that has happened.
    pub(crate) fn has_frozen(&self) -> bool {
        !self.line.borrow().freezes_after_row
    }
}

/// Carries a connection until either side ends it, or it is cut.
async fn carry(mut client: TcpStream, server: String, line: watch::Sender<Line>) {
    let mut news = line.subscribe();
    let begun = news.borrow().clone();
    let carried = async {
        drop(news.wait_for(|line| !line.stalled).await);
        let Ok(mut server) = TcpStream::connect(server).await else { return };
        {
            let (client_reads, client_writes) = client.split();
            let (server_reads, server_writes) = server.split();
            tokio::select! {
                () = pass(client_reads, server_writes, &line, &begun, false) => {}
                () = pass(server_reads, client_writes, &line, &begun, true) => {}
                () = until_cut(line.subscribe(), begun.cuts) => {}
            }
        }
        drop(server.set_zero_linger());
    };
    tokio::select! { () = carried => {} () = until_cut(line.subscribe(), begun.cuts) => {} }
    // A reset, not an orderly end.
    drop(client.set_zero_linger());
}

async fn until_cut(mut line: watch::Receiver<Line>, cuts: u64) {
    drop(line.wait_for(|line| line.cuts != cuts).await);
}

/// Carries one direction, until it ends or its connection is to be reset.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    line: &watch::Sender<Line>,
    begun: &Line,
    from_server: bool,
) {
    let mut news = line.subscribe();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        drop(news.wait_for(|line| !line.stalled && line.freezes == begun.freezes).await);
        let bytes = &buffer[..read];
        let has = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
        let (says, asks_for) = (|what: &[u8]| from_server && has(what), |what: &[u8]| !from_server && has(what));
        if read == 0
            || (says(COMMITTED) && says(ONE_ROW) && take(line, |line| &mut line.loses_commit))
            || (from_server && take(line, |line| &mut line.loses_response))
            || (asks_for(PREPARED) && take(line, |line| &mut line.loses_prepared))
        {
            return;
        }
        if (says(COMMITTED) && take(line, |line| &mut line.freezes_commit))
            || (asks_for(COMMITTED) && take(line, |line| &mut line.freezes_before_commit))
        {
            std::future::pending::<()>().await;
        }
        // Set before the client gets the row, and so before the client can react to it.
        let freezes = says(ONE_ROW) && take(line, |line| &mut line.freezes_after_row);
        if to.write_all(bytes).await.is_err() {
            return;
        }
        if freezes {
            std::future::pending::<()>().await;
        }
    }
}

/// Takes the flag: returns true to one connection only.
fn take(line: &watch::Sender<Line>, flag: impl FnOnce(&mut Line) -> &mut bool) -> bool {
    let mut was = false;
    line.send_if_modified(|line| {
        was = std::mem::take(flag(line));
        was
    });
    was
}
