//! The values of labels, as enums that index arrays of counters.

/// An enum without data that indexes arrays, the list of its values, and the text of each.
macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the texts say it")]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            /// Every value, in the order of its numbers.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// As it is written in metrics.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }
        }
    };
}

labels! {
    /// A client's command. Those of one name in several protocols share it.
    CommandLabel {
        Get = "get",
        Gets = "gets",
        Gat = "gat",
        Gats = "gats",
        Set = "set",
        Add = "add",
        Replace = "replace",
        Append = "append",
        Prepend = "prepend",
        Cas = "cas",
        Incr = "incr",
        Decr = "decr",
        Delete = "delete",
        Touch = "touch",
        FlushAll = "flush_all",
        Version = "version",
        Quit = "quit",
        Stats = "stats",
        /// Everything for an administrator: slabs, lru, lru_crawler, watch, verbosity, shutdown...
        Admin = "admin",
        /// What is answered by an error.
        Invalid = "invalid",
    }
}

labels! {
    /// What a connection speaks.
    ProtocolLabel {
        Classic = "classic",
        Meta = "meta",
        Binary = "binary",
    }
}

labels! {
    /// Files that are read again when they change, by the flag that names them.
    FilesLabel {
        Auth = "auth-file",
        ClientTls = "client-tls-dir",
        Tls = "tls-dir",
    }
}

labels! {
    /// How the peer catches up.
    ResyncKind {
        None = "none",
        Partial = "partial",
        Incremental = "incremental",
        Full = "full",
    }
}

labels! {
    /// Why a would-be peer was turned away.
    HandshakeRefusal {
        /// No certificate, or not one of the pair's CA.
        Certificate = "certificate",
        /// Not our protocol, or no common version of it.
        Protocol = "protocol",
        Pair = "pair",
        /// Our own replica id.
        Replica = "replica",
        /// A newer incarnation of the same replica has been seen.
        Fenced = "fenced",
        /// Did not finish in time, or broke off.
        Timeout = "timeout",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (i, label) in CommandLabel::ALL.into_iter().enumerate() {
            assert_eq!(label as usize, i);
        }
        assert_eq!(CommandLabel::FlushAll.as_str(), "flush_all");
        assert_eq!(ProtocolLabel::ALL.map(ProtocolLabel::as_str), ["classic", "meta", "binary"]);
    }
}
