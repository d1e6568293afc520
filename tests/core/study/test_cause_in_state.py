"""What the state keeps of effects, ablations, cooperation and spectra."""

from __future__ import annotations

import msgspec

from headtorch.core.causes import (
    Ablation,
    AblationGroup,
    Agreement,
    Cooperation,
    EffectSummary,
    Spectrum,
)
from headtorch.core.event_lines import decode, encode
from headtorch.core.events import (
    AgreementMeasured,
    CooperationMeasured,
    EffectsMeasured,
    HeadAblated,
    SpectrumMeasured,
)
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.study import fold

NEURON, HEAD, OTHER = NeuronId(3, 412), HeadId(2, 4), HeadId(1, 0)
AGREEMENT = Agreement(
    neuron=None, estimate="direct", quantity="activation", n=9, spearman=0.5, n_spearman=9, top=0.4, n_top=9,
    pearson=0.3, pairs=90,
)  # fmt: skip
EFFECTS = EffectsMeasured(
    neuron=NEURON,
    replacement="resample",
    position="last",
    donors=4,
    artefact="a" * 64,
    prompts=[1, 4],
    heads=[EffectSummary(head=HEAD, activation=0.5, pre_activation=0.25)],
    agreement=[],
)
NOTHING = AblationGroup(n=0, delta_log_p=None, delta_p=None, delta_logit=None, delta_activation=None)


def ablation(**changed: object) -> HeadAblated:
    done = Ablation(
        neuron=NEURON, head=HEAD, token_id=1, replacement="resample", position="last", active=NOTHING,
        inactive=NOTHING, ks=None, ks_p=None,
    )  # fmt: skip
    return HeadAblated(ablation=msgspec.structs.replace(done, **changed))


def test_the_newest_measurement_of_a_neuron_stands_and_reads_back() -> None:
    again = msgspec.structs.replace(EFFECTS, replacement="mean", donors=1)
    over_all = AgreementMeasured(replacement="mean", position="last", neurons=1, agreement=[AGREEMENT])
    cooperation = Cooperation(neuron=NEURON, token_id=1, n=4, replacement="resample", donors=4, synergies=[])
    spectrum = Spectrum(neuron=NEURON, replacement="resample", position="last", donors=4, bins=[], curves=[])
    events = [
        EFFECTS,
        again,
        over_all,
        CooperationMeasured(cooperation=cooperation),
        SpectrumMeasured(spectrum=spectrum),
    ]
    state = fold(decode(encode(event)) for event in events)
    assert state.effects == {NEURON: again} and state.agreement == over_all
    assert state.cooperation == {NEURON: cooperation} and state.spectrum == {NEURON: spectrum}


def test_a_joint_ablation_stands_beside_that_of_the_head_alone() -> None:
    alone, joint, later = ablation(), ablation(together=[OTHER]), ablation(lower=2)
    state = fold([alone, joint, later])
    assert state.ablations_of(NEURON, HEAD) == [joint.ablation, later.ablation]
