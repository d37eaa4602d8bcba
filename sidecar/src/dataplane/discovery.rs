//! `config get cluster`: where clients that ask find both replicas.

use std::sync::{Arc, Mutex, PoisonError};

/// The answer as it is now, for all workers.
#[derive(Debug, Default)]
pub struct Discovery {
    answer: Mutex<Option<Arc<[u8]>>>,
}

/// One replica, as clients reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    /// A name.
    pub host: &'a str,
    /// An address, as text.
    pub address: &'a str,
    /// The port of both.
    pub port: u16,
}

impl Discovery {
    /// From now on this is answered, in the form that clients of ElastiCache and Memorystore read; without nodes, what
    /// memcached answers.
    pub fn set(&self, version: u64, nodes: &[Node<'_>]) {
        let answer = (!nodes.is_empty()).then(|| answer(version, nodes).into());
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// The answer, if there is one.
    #[must_use]
    pub fn answer(&self) -> Option<Arc<[u8]>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// `CONFIG cluster 0 <length>`, and as the value a version and a line of `host|address|port` for each node.
fn answer(version: u64, nodes: &[Node<'_>]) -> Vec<u8> {
    let node = |node: &Node<'_>| format!("{}|{}|{}", node.host, node.address, node.port);
    let nodes: Vec<String> = nodes.iter().map(node).collect();
    let value = format!("{version}\n{}\n", nodes.join(" "));
    format!("CONFIG cluster 0 {}\r\n{value}\r\nEND\r\n", value.len()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_the_form_that_clients_read() {
        let discovery = Discovery::default();
        assert!(discovery.answer().is_none());
        let nodes = [
            Node { host: "web-0.shop.svc", address: "10.96.0.10", port: 11211 },
            Node { host: "web-1.shop.svc", address: "10.96.0.11", port: 11211 },
        ];
        discovery.set(12, &nodes);
        let expected =
            b"CONFIG cluster 0 67\r\n12\nweb-0.shop.svc|10.96.0.10|11211 web-1.shop.svc|10.96.0.11|11211\n\r\nEND\r\n";
        assert_eq!(&*discovery.answer().unwrap(), expected);
        let value = expected.split(|byte| *byte == b'\r').nth(1).unwrap();
        assert_eq!(value.len() - 1, 67, "the length counts the value without its line end");
        discovery.set(13, &[]);
        assert!(discovery.answer().is_none());
    }
}
