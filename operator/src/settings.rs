//! What can be set, on the command line or in the environment.

use std::net::SocketAddr;

use clap::Args;

/// Settings of a running operator.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Namespace to look after; the default is the operator's own.
    #[arg(long, env = "PLENUM_NAMESPACE")]
    pub namespace: Option<String>,
    /// Look after all namespaces, whatever `--namespace` says; needs cluster-wide rights.
    #[arg(long, env = "PLENUM_ALL_NAMESPACES")]
    pub all_namespaces: bool,
    /// Pools of this spec.operatorClass are looked after, others are left alone.
    #[arg(long, env = "PLENUM_OPERATOR_CLASS", default_value = plenum_crds::names::DEFAULT_OPERATOR_CLASS)]
    pub operator_class: String,
    /// Name of this installation in the Directory, so that several can share a Redis.
    #[arg(long, env = "PLENUM_INSTALL", default_value = "plenum")]
    pub install: String,
    /// Name of the Lease that the replicas of this operator share.
    #[arg(long, env = "PLENUM_LEASE_NAME", default_value = "plenum-operator")]
    pub lease_name: String,
    /// Namespace of the Lease; the default is the operator's own.
    #[arg(long, env = "PLENUM_LEASE_NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// Name of this replica; the default is the host name. Pods set it from metadata.name.
    #[arg(long, env = "POD_NAME")]
    pub pod_name: Option<String>,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "PLENUM_OPERATOR_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
}

impl Settings {
    /// The namespace to watch, `None` for all; `own` is the operator's own.
    #[must_use]
    pub fn watched<'a>(&'a self, own: &'a str) -> Option<&'a str> {
        if self.all_namespaces {
            None
        } else {
            Some(self.namespace.as_deref().unwrap_or(own))
        }
    }
}
