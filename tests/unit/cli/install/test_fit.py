"""What stays of objects that are there."""

from typing import Any

from directpv_cli.install.applying import fit
from directpv_cli.install.objects.base import csi_driver, namespace, storage_class
from directpv_cli.install.objects.options import Options
from directpv_common.protocol.names import CREATED_BY


def test_modes_and_group_policy_of_a_driver_that_is_there_are_kept() -> None:
    old = {"spec": {"volumeLifecycleModes": ["Persistent", "Ephemeral"], "fsGroupPolicy": "File"}}
    now = fit.fitted(csi_driver(), old)
    assert now["spec"] == {**csi_driver()["spec"], **old["spec"]}
    assert fit.kept(csi_driver(), now) == ["volumeLifecycleModes", "fsGroupPolicy"]
    assert fit.fitted(csi_driver(), None) == csi_driver()


def test_what_an_administrator_chose_for_the_class_is_kept() -> None:
    live = {**storage_class(), "reclaimPolicy": "Retain", "allowVolumeExpansion": False}
    del live["allowedTopologies"]
    now = fit.fitted(storage_class(), live)
    assert (now["reclaimPolicy"], now["allowVolumeExpansion"]) == ("Retain", True)
    assert fit.kept(storage_class(), now) == ["reclaimPolicy", "allowedTopologies"]
    assert fit.kept(storage_class(), fit.fitted(storage_class(), storage_class())) == []


def test_a_namespace_is_ours_only_if_an_installer_made_it() -> None:
    def labels(**before: str) -> dict[str, Any]:
        live = {"metadata": {"labels": {key.replace("_", "-"): value for key, value in before.items()}}}
        return dict(fit.fitted(namespace(Options()), live)["metadata"]["labels"])

    assert CREATED_BY not in labels(team="storage")
    ours = namespace(Options())
    assert fit.fitted(ours, ours) == ours
