"""GPUs that are published as devices and claimed, as NVIDIA's and AMD's DRA drivers publish them."""

from bitshift_core.fit.devices import claim_for, claimed_offers
from bitshift_core.fit.placement import node_from_manifests
from bitshift_core.fit.units import GIB, MIB


def a_device(name, product="NVIDIA H100 80GB HBM3", memory="81559Mi", kind="gpu", capability="9.0.0", **more):
    attributes = {
        "type": {"string": kind},
        "productName": {"string": product},
        "cudaComputeCapability": {"version": capability},
    }
    return {"name": name, "attributes": attributes, "capacity": {"memory": {"value": memory}}} | more


def a_slice(*devices, node="n1", driver="gpu.nvidia.com", generation=1, pool=None):
    spec = {"driver": driver, "nodeName": node, "devices": list(devices)}
    return {"spec": spec | {"pool": {"name": pool or node, "generation": generation, "resourceSliceCount": 1}}}


def a_claim(*devices, pool="n1", driver="gpu.nvidia.com", **more):
    results = [{"driver": driver, "pool": pool, "device": device} | more for device in devices]
    return {"status": {"allocation": {"devices": {"results": results}}}}


def test_devices_of_one_kind_are_counted_and_those_that_are_claimed_are_not_free():
    slices = [a_slice(*(a_device(f"gpu-{index}") for index in range(8)))]
    (offer,) = claimed_offers(slices, [a_claim("gpu-0", "gpu-3"), a_claim("gpu-1", pool="n2"), {}])["n1"]

    assert (offer.resource, offer.claim_driver) == ("gpu.nvidia.com", "gpu.nvidia.com")
    assert (offer.count, offer.free, offer.memory_bytes) == (8, 6, 81_559 * MIB)
    assert (offer.product, offer.capability) == ("NVIDIA H100 80GB HBM3", (9, 0))


def test_a_claim_that_only_watches_takes_nothing():
    (offer,) = claimed_offers([a_slice(a_device("gpu-0"))], [a_claim("gpu-0", adminAccess=True)])["n1"]

    assert offer.free == 1


def test_slices_of_cards_are_another_kind_and_channels_are_no_gpus():
    slices = [
        a_slice(a_device("gpu-0"), a_device("gpu-1-mig-3g", memory="40448Mi", kind="mig")),
        a_slice(
            {"name": "channel-0", "attributes": {"type": {"string": "channel"}}}, driver="compute-domain.nvidia.com"
        ),
    ]
    kinds = claimed_offers(slices, [])["n1"]

    assert sorted((offer.resource, offer.is_slice) for offer in kinds) == [
        ("gpu.nvidia.com", False),
        ("mig.nvidia.com", True),
    ]


def test_a_card_and_the_slices_it_could_be_cut_into_are_never_counted_together():
    parts = [{"counterSet": "card-0"}]
    cut = [a_device(f"mig-{index}", memory="40448Mi", kind="mig", consumesCounters=parts) for index in range(2)]
    slices = [a_slice(a_device("gpu-0", consumesCounters=parts), *cut)]
    free = {offer.resource: (offer.count, offer.free) for offer in claimed_offers(slices, [])["n1"]}
    taken = {offer.resource: offer.free for offer in claimed_offers(slices, [a_claim("mig-0")])["n1"]}

    assert free == {"gpu.nvidia.com": (1, 1), "mig.nvidia.com": (1, 1)}
    assert taken == {"gpu.nvidia.com": 0, "mig.nvidia.com": 0}


def test_only_the_newest_generation_of_a_pool_counts():
    slices = [a_slice(a_device("old"), generation=1), a_slice(a_device("a"), a_device("b"), generation=2)]

    assert claimed_offers(slices, [])["n1"][0].count == 2


def test_a_device_that_its_driver_tainted_is_not_offered():
    broken = a_device("gpu-0", taints=[{"key": "gpu.nvidia.com/unhealthy", "effect": "NoExecute"}])

    assert claimed_offers([a_slice(broken)], []) == {}


def test_amd_devices_are_offered_by_their_own_class():
    attributes = {"type": {"string": "amdgpu"}, "productName": {"string": "AMD_Instinct_MI300X_OAM"}}
    device = {"name": "gpu-0", "attributes": attributes, "capacity": {"memory": {"value": "196592Mi"}}}
    (offer,) = claimed_offers([a_slice(device, driver="gpu.amd.com")], [])["n1"]

    assert (offer.resource, offer.platform) == ("gpu.amd.com", "rocm")


def test_a_nodes_devices_stand_beside_what_its_plugin_counts():
    claimed = claimed_offers([a_slice(a_device("gpu-0"))], [])["n1"]
    manifest = {"metadata": {"name": "n1"}, "status": {"allocatable": {"nvidia.com/gpu": "1"}}}

    assert [offer.resource for offer in node_from_manifests(manifest, [], claimed).offers] == [
        "nvidia.com/gpu",
        "gpu.nvidia.com",
    ]


def selector(claim):
    (request,) = claim["devices"]["requests"]
    return request["exactly"]["selectors"][0]["cel"]["expression"]


def test_a_claim_asks_for_memory_so_that_a_later_card_qualifies():
    (offer,) = claimed_offers([a_slice(a_device("gpu-0"))], [])["n1"]
    claim = claim_for([offer], [], gpus=2, label_mib=40_000)

    assert claim["devices"]["requests"][0]["exactly"] | {"selectors": []} == {
        "deviceClassName": "gpu.nvidia.com",
        "allocationMode": "ExactCount",
        "count": 2,
        "selectors": [],
    }
    assert selector(claim) == (
        "device.driver == 'gpu.nvidia.com' && "
        "device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('40000Mi')) >= 0"
    )


def test_a_claim_names_products_where_memory_would_let_in_one_that_has_no_kernel():
    fits, old = (
        claimed_offers([a_slice(a_device("gpu-0", product=product))], [])["n1"][0]
        for product in ("NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB")
    )

    assert selector(claim_for([fits], [old], gpus=1, label_mib=40_000)).endswith(
        " && device.attributes['gpu.nvidia.com'].productName in ['NVIDIA H100 80GB HBM3']"
    )
    assert fits.memory_bytes < 80 * GIB
