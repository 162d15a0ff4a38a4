//! Which addresses a registry may send us to.
//!
//! A registry answers with redirects, upload locations and token services, and all of them are fetched from
//! inside the network Quench runs in. A registry on the internet must not make us ask a host that only we can
//! reach: so an answer may lead as far in as the registry itself lies, and no further.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

/// How far into the network an address lies. Ordered: farther in is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// On the internet.
    Public,
    /// In a network of its own (RFC 1918, RFC 4193, RFC 6598).
    Private,
    /// On this machine.
    Loopback,
    /// Nowhere content is served: link-local (where clouds keep machine credentials), multicast, unspecified.
    Special,
}

/// Who named an address: how far into the network it may lead. A user's own address may lead anywhere content is
/// served; an address in something that came from a server may lead as far in as that server lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin(pub(super) Reach);

impl Origin {
    /// A person at this machine.
    pub const USER: Self = Self(Reach::Loopback);

    /// The stricter of two: what both may name.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }
}

impl Reach {
    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [a, b, c, _] = address.octets();
        match (a, b, c) {
            (127, ..) => Self::Loopback,
            (0 | 224..=255, ..) | (169, 254, _) => Self::Special,
            (10, ..) | (172, 16..=31, _) | (192, 168, _) => Self::Private,
            // Shared address space, protocol assignments, benchmarking (RFC 6890).
            (100, 64..=127, _) | (192, 0, 0) | (198, 18 | 19, _) => Self::Private,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if let Some(v4) = address.to_ipv4_mapped() {
            return Self::of_v4(v4);
        }
        let [a, b, c, d, _, _, g, h] = address.segments();
        let embedded = |high: u16, low: u16| {
            let [w, x] = high.to_be_bytes();
            let [y, z] = low.to_be_bytes();
            Self::of_v4(Ipv4Addr::new(w, x, y, z))
        };
        if address.is_loopback() {
            Self::Loopback
        } else if address.is_unspecified() || (a & 0xffc0) == 0xfe80 || (a & 0xff00) == 0xff00 {
            Self::Special
        } else if (a & 0xfe00) == 0xfc00 || (a & 0xffc0) == 0xfec0 {
            Self::Private
        } else if (a, b, c, d) == (0x64, 0xff9b, 0, 0) {
            // NAT64 (RFC 6052) and 6to4 (RFC 3056) carry an IPv4 address.
            embedded(g, h)
        } else if a == 0x2002 {
            embedded(b, c)
        } else {
            Self::Public
        }
    }

    /// How far in a registry lies. One that does not resolve here (a proxy will) counts as public.
    pub(super) async fn of_registry(url: &Url) -> Self {
        addresses(url)
            .await
            .into_iter()
            .map(Self::of)
            .max()
            .unwrap_or(Self::Public)
    }

    /// Whether a registry of this reach may send us to `url`; gives the address that speaks against it.
    pub(super) async fn forbids(self, url: &Url) -> Option<IpAddr> {
        addresses(url)
            .await
            .into_iter()
            .find(|address| Self::of(*address) > self)
    }
}

async fn addresses(url: &Url) -> Vec<IpAddr> {
    match url.host() {
        Some(Host::Ipv4(address)) => vec![address.into()],
        Some(Host::Ipv6(address)) => vec![address.into()],
        Some(Host::Domain(name)) => {
            let port = url.port_or_known_default().unwrap_or(443);
            match tokio::net::lookup_host((name, port)).await {
                Ok(found) => found.map(|address| address.ip()).collect(),
                Err(_) => Vec::new(),
            }
        }
        None => Vec::new(),
    }
}

/// Resolves names to addresses within a reach only, so that a name cannot change what it points to between
/// the check and the connection.
pub(super) struct WithinReach(pub(super) Reach);

impl Resolve for WithinReach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0))
                .await?
                .filter(|address| Reach::of(address.ip()) <= reach)
                .collect();
            if found.is_empty() {
                return Err(format!("{} has no address that may be asked", name.as_str()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl WithinReach {
    pub(super) fn resolver(reach: Reach) -> Arc<Self> {
        Arc::new(Self(reach))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(text: &str) -> Reach {
        Reach::of(text.parse().unwrap())
    }

    #[test]
    fn addresses_hidden_in_other_addresses_are_seen() {
        assert_eq!(reach("140.82.121.3"), Reach::Public);
        assert_eq!(reach("2606:4700::6810:84e5"), Reach::Public);
        for private in [
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "100.100.100.200",
            "fd00:ec2::254",
        ] {
            assert_eq!(reach(private), Reach::Private, "{private}");
        }
        for loopback in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
        ] {
            assert_eq!(reach(loopback), Reach::Loopback, "{loopback}");
        }
        for special in [
            "169.254.169.254",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "fe80::1",
            "::",
            "::ffff:169.254.169.254",
            "2002:a9fe:a9fe::1",
        ] {
            assert_eq!(reach(special), Reach::Special, "{special}");
        }
    }

    #[tokio::test]
    async fn a_registry_leads_no_farther_in_than_it_lies() {
        let url = |text: &str| Url::parse(text).unwrap();
        let metadata = url("http://169.254.169.254/latest/meta-data");
        for from in [Reach::Public, Reach::Private, Reach::Loopback] {
            assert!(from.forbids(&metadata).await.is_some());
        }
        assert!(
            Reach::Public
                .forbids(&url("http://localhost:1/"))
                .await
                .is_some()
        );
        assert!(
            Reach::Public
                .forbids(&url("https://0x7f.1/"))
                .await
                .is_some()
        );
        assert!(
            Reach::Private
                .forbids(&url("https://10.0.0.1/"))
                .await
                .is_none()
        );
        assert!(
            Reach::Loopback
                .forbids(&url("http://127.0.0.1:5000/"))
                .await
                .is_none()
        );
    }
}
