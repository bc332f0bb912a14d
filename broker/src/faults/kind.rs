//! The kinds of faults by name: for files, for counting, and for choosing what a random plan draws from.

use std::fmt;

use crate::faults::{BrokerFault, Fault, NetworkEffect};

macro_rules! kinds {
    (network { $($network:ident $network_name:literal,)* } broker { $($broker:ident $broker_name:literal,)* }) => {
        /// What sort of fault it is: one for each [`NetworkEffect`] and [`BrokerFault`].
        #[allow(missing_docs)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Kind {
            $($network,)*
            $($broker,)*
        }

        impl Kind {
            /// All of them, those of the network first.
            pub const ALL: &'static [Self] = &[$(Self::$network,)* $(Self::$broker,)*];

            /// Its name in files.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$network => $network_name,)*
                    $(Self::$broker => $broker_name,)*
                }
            }
        }

        impl Fault {
            /// Of which kind it is.
            pub fn kind(&self) -> Kind {
                match self {
                    Self::Network(fault) => match fault.effect {
                        $(NetworkEffect::$network { .. } => Kind::$network,)*
                    },
                    Self::Broker(fault) => match fault {
                        $(BrokerFault::$broker { .. } => Kind::$broker,)*
                    },
                }
            }
        }
    };
}

kinds! {
    network {
        Delay "delay",
        BlackHole "black-hole",
        Slow "slow",
        RefuseConnect "refuse-connect",
        Cut "cut",
        Corrupt "corrupt",
    }
    broker {
        Error "error",
        Disconnect "disconnect",
        LateAnswer "late-answer",
        Throttle "throttle",
        StaleMetadata "stale-metadata",
        DuplicateMetadata "duplicate-metadata",
        MoveLeader "move-leader",
        LoseLeader "lose-leader",
        UncleanElection "unclean-election",
        HoldReplication "hold-replication",
        HoldMarkers "hold-markers",
        Truncate "truncate",
        MoveCoordinator "move-coordinator",
        UnloadCoordinator "unload-coordinator",
        LoadCoordinator "load-coordinator",
        FenceProducer "fence-producer",
        ExpireSessions "expire-sessions",
        KillNode "kill-node",
        RestartNode "restart-node",
        ClockJump "clock-jump",
        DeleteTopic "delete-topic",
        ExpireCredentials "expire-credentials",
    }
}

impl Kind {
    /// May it lose records that were acknowledged, or show a client bytes that nobody wrote? What such a plan leads to says nothing
    /// about lost records.
    pub fn loses_records(self) -> bool {
        matches!(self, Self::Truncate | Self::UncleanElection | Self::DeleteTopic | Self::Corrupt)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
