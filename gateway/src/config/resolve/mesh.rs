//! Links between regions: key files, siblings.

use std::path::Path;

use serving::config::Invalid;

use super::super::MeshConfig;
use super::super::file::MeshFile;
use super::regions::host_and_port;
use crate::mesh::KeyFiles;

pub(super) fn mesh(file: MeshFile, directory: &Path) -> Result<MeshConfig, Invalid> {
    for (at, sibling) in file.siblings.iter().enumerate() {
        host_and_port(sibling).map_err(|e| e.within(format!("mesh.siblings[{at}]")))?;
    }
    if file.authorities.is_empty() {
        return Err(Invalid::new(
            "mesh.authorities",
            "at least one is needed; without one, no region could be believed",
        ));
    }
    Ok(MeshConfig {
        listen: file.listen,
        share_port: file.share_port,
        keys: KeyFiles {
            certificate: directory.join(file.certificate),
            key: directory.join(file.key),
            authorities: file
                .authorities
                .iter()
                .map(|path| directory.join(path))
                .collect(),
        },
        siblings: file.siblings,
        relay: file.relay,
    })
}
