//! A name server of the test's own, as container engines have one, over UDP (RFC 1035). The test sets its names.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{net::UdpSocket, task::JoinSet};

const HEADER_BYTES: usize = 12;
/// An answer, recursion asked for and available.
const ANSWER: u16 = 0x8180;
const NO_SUCH_NAME: u16 = 3;
/// An address of IPv4.
const TYPE_A: [u8; 2] = [0, 1];
/// The question's name; of the Internet; holds for a second; four bytes.
const TO_THE_QUESTION: [u8; 2] = [0xc0, 0x0c];
const REST_OF_A: [u8; 10] = [0, 1, 0, 1, 0, 0, 0, 1, 0, 4];

pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    names: Arc<Mutex<BTreeMap<String, Ipv4Addr>>>,
    _answering: JoinSet<()>,
}

impl NameServer {
    /// Knows no name yet.
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, names) = (socket.local_addr().unwrap(), Arc::<Mutex<BTreeMap<String, Ipv4Addr>>>::default());
        let (known, mut answering) = (Arc::clone(&names), JoinSet::new());
        answering.spawn(async move {
            let mut query = [0; 512];
            loop {
                let (bytes, client) = socket.recv_from(&mut query).await.unwrap();
                let answer = answer(&query[..bytes], &known.lock().unwrap());
                socket.send_to(&answer, client).await.unwrap();
            }
        });
        Self { address, names, _answering: answering }
    }

    /// Sets the names and their addresses. Other names do not exist.
    pub(crate) fn set(&self, names: &[(&str, Ipv4Addr)]) {
        *self.names.lock().unwrap() = names.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect();
    }
}

/// The answer to a query's only question.
fn answer(query: &[u8], names: &BTreeMap<String, Ipv4Addr>) -> Vec<u8> {
    let (mut labels, mut at) = (Vec::new(), HEADER_BYTES);
    while query[at] > 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).into_owned());
        at = end;
    }
    let question = &query[HEADER_BYTES..at + 5];
    let found = names.get(&labels.join("."));
    // A name that is known has no other addresses than that of IPv4.
    let address = found.filter(|_| question[question.len() - 4..question.len() - 2] == TYPE_A);
    let flags = if found.is_some() { ANSWER } else { ANSWER | NO_SUCH_NAME };
    let counts = [1, u16::from(address.is_some()), 0, 0];
    let mut answer = query[..2].to_vec();
    answer.extend([flags].iter().chain(&counts).flat_map(|number| number.to_be_bytes()));
    answer.extend(question);
    if let Some(address) = address {
        answer.extend(TO_THE_QUESTION);
        answer.extend(REST_OF_A);
        answer.extend(address.octets());
    }
    answer
}
