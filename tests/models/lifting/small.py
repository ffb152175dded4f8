"""Every lifter of the zoo at a size that runs in milliseconds, and the shape of its keypoints."""

from dataclasses import replace

from posewright.models.lifting import (
    convformer,
    d3dp,
    diffpose,
    diffpose_multihyp,
    finepose,
    fmpose3d,
    gla_gcn,
    hopfir,
    hot,
    ktpformer,
    mhformer,
    mixste,
    motionagformer,
    motionbert,
    mpm,
    platypose,
    semgcn,
    simple_baseline,
    starpose,
    uao,
    videopose3d,
)

_HOT = {"frames": 9, "token_num": 4, "layer_index": 1, "dim": 16, "depth": 3, "hidden": 32, "dim_rep": 24}
_PLATYPOSE = platypose.Config(
    9,
    latent_dim=16,
    ff_size=24,
    num_layers=2,
    timestep=8,
    sampling_timesteps=4,
    skip_timesteps=1,
    num_proposals=3,
    num_substeps=2,
)
SMALL = {
    "lifting/simple_baseline": (simple_baseline.Config(32, 2), (4, 3, 16, 2)),
    "lifting/semgcn": (semgcn.Config(16, 2), (4, 3, 16, 2)),
    "lifting/semgcn:nonlocal": (semgcn.Config(16, 2, semgcn.GROUPS), (4, 3, 16, 2)),
    "lifting/semgcn:hopwise": (semgcn.Config(16, 2, hops=3), (4, 3, 16, 2)),
    "lifting/hopfir": (hopfir.Config(16, 2), (4, 3, 17, 2)),
    "lifting/convformer": (convformer.Config(9, embed_dim_ratio=8, depth=2), (4, 9, 17, 2)),
    "lifting/convformer:all": (convformer.Config(9, embed_dim_ratio=8, depth=2, output="all"), (4, 9, 17, 2)),
    "lifting/convformer:usual": (
        convformer.Config(9, embed_dim_ratio=8, depth=2, attention="usual"),
        (4, 9, 17, 2),
    ),
    "lifting/videopose3d": (videopose3d.Config(filter_widths=(3, 3), channels=16), (4, 12, 17, 2)),
    "lifting/videopose3d:causal": (
        videopose3d.Config(filter_widths=(3, 3), channels=16, causal=True),
        (4, 12, 17, 2),
    ),
    "lifting/mixste": (mixste.Config(9, embed_dim_ratio=16, depth=2, num_heads=4), (4, 9, 17, 2)),
    "lifting/mixste:prior": (
        mixste.Config(9, embed_dim_ratio=16, depth=2, num_heads=4, prior=True),
        (4, 9, 17, 2),
    ),
    "lifting/d3dp": (
        d3dp.Config(9, embed_dim_ratio=16, depth=2, num_heads=4, num_proposals=3, sampling_timesteps=2),
        (4, 9, 17, 2),
    ),
    "lifting/fmpose3d": (
        fmpose3d.Config(16, 2, hidden=32, num_heads=4, num_proposals=3, sampling_timesteps=2, topk=4),
        (4, 3, 17, 2),
    ),
    "lifting/diffpose": (diffpose.Config(16, 2), (4, 3, 17, 2)),
    "lifting/diffpose:sampled": (
        diffpose.Config(16, 2, num_proposals=3, start="distribution", test_num_diffusion_timesteps=10),
        (4, 3, 17, 3),
    ),
    "lifting/diffpose:video": (
        diffpose.Config(16, 2, initialiser="mixste", num_frame=9, embed_dim_ratio=16, depth=2, num_heads=4),
        (4, 9, 17, 2),
    ),
    "lifting/uao": (
        uao.Config(16, 2, embedding=8, channel_hidden=12, joint_factor=2, num_proposals=3),
        (4, 3, 17, 2),
    ),
    "lifting/diffpose_multihyp": (
        diffpose_multihyp.Config(
            4, 8, 8, layers=1, nhead=2, feedforward=16, hidden=32, timesteps=8, num_proposals=3
        ),
        (4, 3, 17, 3),
    ),
    **{
        f"lifting/finepose{name}": (
            finepose.Config(
                9,
                embed_dim_ratio=16,
                depth=2,
                num_heads=4,
                num_proposals=3,
                sampling_timesteps=2,
                prompts=prompts,
                stand_in=True,
                text_width=8,
                text_heads=2,
                prompt_layers=1,
                prompt_hidden=16,
            ),
            (4, 9, 17, 2),
        )
        for name, prompts in (("", "parts"), (":action", "action"))
    },
    "lifting/ktpformer": (ktpformer.Config(9, embed_dim_ratio=16, depth=2, num_heads=4), (4, 9, 17, 2)),
    "lifting/motionbert": (
        motionbert.Config(dim_feat=16, dim_rep=24, depth=2, num_heads=4, maxlen=9),
        (4, 7, 17, 3),
    ),
    "lifting/motionagformer": (
        motionagformer.Config(n_layers=2, dim_feat=16, dim_rep=24, num_heads=4, n_frames=9),
        (4, 9, 17, 3),
    ),
    "lifting/starpose": (
        starpose.Config(
            9,
            embed_dim_ratio=16,
            depth=2,
            num_heads=4,
            segment=3,
            history=3,
            num_proposals=3,
            sampling_timesteps=2,
        ),
        (4, 9, 17, 2),
    ),
    "lifting/platypose": (_PLATYPOSE, (4, 9, 17, 2)),
    "lifting/platypose:frame": (replace(_PLATYPOSE, frames=1, axes="world"), (4, 3, 17, 2)),
    "lifting/mhformer": (mhformer.Config(16, 32, 9), (4, 9, 17, 2)),
    "lifting/mhformer:long": (mhformer.Config(16, 32, 36), (4, 36, 17, 2)),
    "lifting/gla_gcn": (gla_gcn.Config(filter_widths=(3, 3), channels=16), (4, 9, 17, 2)),
    "lifting/gla_gcn:individual": (
        gla_gcn.Config("humaneva15", (3, 3), 16, head="individual"),
        (4, 9, 15, 2),
    ),
    "lifting/mpm": (mpm.Config(2, 16, 32, 9, (3, 3)), (4, 9, 17, 2)),
    **{
        f"lifting/hot:{host}{'' if recover else '_tpc'}": (
            hot.Config(
                **(_HOT | {"host": host, "recover": recover, "num_heads": 8 if host == "mhformer" else 4})
            ),
            (4, 9, 17, 3 if "motion" in host else 2),
        )
        for host in hot.HOSTS
        for recover in (True, False)
    },
}
"""`method` or `method:what is special` -> (config, shape of the keypoints)."""
