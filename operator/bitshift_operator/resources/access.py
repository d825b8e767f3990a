"""The account of one Job: it may patch the ConfigMaps made for it, and nothing else."""

from . import Manifest, Owner


def account(owner: Owner, name: str, config_maps: tuple[str, ...]) -> tuple[Manifest, ...]:
    """Return a ServiceAccount, a Role for the named ConfigMaps, and what binds them."""
    rbac = "rbac.authorization.k8s.io"
    role: Manifest = {
        "apiVersion": f"{rbac}/v1",
        "kind": "Role",
        "metadata": owner.metadata(name),
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["configmaps"],
                "resourceNames": list(config_maps),
                "verbs": ["get", "patch"],
            }
        ],
    }
    binding: Manifest = {
        "apiVersion": f"{rbac}/v1",
        "kind": "RoleBinding",
        "metadata": owner.metadata(name),
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": owner.namespace}],
    }
    service_account: Manifest = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": owner.metadata(name)}
    return service_account, role, binding
