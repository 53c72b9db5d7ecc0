"""Which areas make up the ROIs of the field: tables by name, with their sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: "L_55b_ROI" of the label files, and what other software makes of it, without the hemisphere.
MMP_AREA = r"(?:[LR]_)?(.+?)(?:_ROI)?(?:-[lr]h)?"
GLASSER = "Glasser et al. (2016). A multi-modal parcellation of human cerebral cortex. Nature 536, 171-178."
MMP_FILES = (
    "Label files on fsaverage6, tpl-fsaverage6_hemi-{L,R}_desc-MMP_dseg.label.gii, come with TemplateFlow and with the "
    "Narratives code; on fsaverage7, {lh,rh}.HCPMMP1.annot (doi:10.6084/m9.figshare.3498446)."
)


@dataclass(frozen=True)
class RoiSet:
    """How the labels of a file make ROIs.

    Parameters
    ----------
    area : str
        Regular expression for whole names of labels; its group is the name of the area, so that hemispheres are pooled.
        Labels that do not match are no areas.
    groups : mapping of str to tuple of str, optional
        Areas of each ROI; none where every area is an ROI of its own.
    template : bool
        Whether label volumes lie in MNI space, so that they fit no subject's own volume.
    citation, how_to_get, note : str
        Whose it is, where label files are, and what to know.
    """

    area: str
    groups: Mapping[str, tuple[str, ...]] | None = None
    template: bool = True
    citation: str = ""
    how_to_get: str = "Give rois.labels=FILE."
    note: str = ""


_EARLY = {"EVC": ("V1", "V2", "V3"), "EAC": ("A1", "LBelt", "MBelt", "PBelt", "RI")}
_NOT_TEMPORAL = {
    "AG": ("PFm", "PGs", "PGi", "TPOJ2", "TPOJ3"),
    "IFG": ("44", "45", "IFJa", "IFSp"),
    "MFG": ("55b",),
    "IFGOrb": ("a47r", "p47r", "a9-46v"),
    "PCC": ("31pv", "31pd", "PCV", "7m", "v23ab", "d23ab", "23c", "23d", "RSC"),
    "dmPFC": ("9m", "10d", "d32"),
}
_LANGUAGE = {
    "AG": _NOT_TEMPORAL["AG"],
    "ATL": ("STGa", "TGd", "TE1a", "TE2a", "TGv", "STSda", "STSva"),
    "PTL": ("STSdp", "A5", "TPOJ1", "PSL", "STV", "A4", "STSvp"),
    **_NOT_TEMPORAL,
    **_EARLY,
}
_OOTA = (
    f"{GLASSER} Groups of areas as in Oota et al. (2024), code of multi-modal-brain-stimuli; language regions after "
    "Fedorenko et al. (2010), J. Neurophysiol. 104, 1177-1194, and Binder et al. (2009), Cerebral Cortex 19, 2767-2796."
)


def _without(groups: Mapping[str, tuple[str, ...]], *left_out: str) -> dict[str, tuple[str, ...]]:
    return {roi: tuple(area for area in areas if area not in left_out) for roi, areas in groups.items()}


ROI_SETS: dict[str, RoiSet] = {
    "hcp_mmp_language": RoiSet(
        MMP_AREA,
        _LANGUAGE,
        citation=_OOTA,
        how_to_get=MMP_FILES,
        note=(
            "As published: PTL holds A4, which is auditory belt, and IFGOrb a9-46v, which is dorsolateral prefrontal "
            "(hcp_mmp_language_strict leaves both out). The published '23' is taken for v23ab, d23ab, 23c and 23d."
        ),
    ),
    "hcp_mmp_language_strict": RoiSet(
        MMP_AREA,
        _without(_LANGUAGE, "A4", "a9-46v"),
        citation=_OOTA,
        how_to_get=MMP_FILES,
        note="hcp_mmp_language without A4 (auditory belt) in PTL and a9-46v (dorsolateral prefrontal) in IFGOrb.",
    ),
    "hcp_mmp_language_ltc": RoiSet(
        MMP_AREA,
        {
            "AG": _NOT_TEMPORAL["AG"],
            "LTC": (*_LANGUAGE["ATL"], "A5", "STSdp", "STSvp", "PSL", "STV", "TPOJ1"),
            **_NOT_TEMPORAL,
            **_EARLY,
        },
        citation=_OOTA,
        how_to_get=MMP_FILES,
        note="ATL and PTL as one lateral temporal cortex, without A4, as in papers of 2025.",
    ),
    "hcp_mmp_reading": RoiSet(
        MMP_AREA,
        {
            "EV": ("V1", "V2"),
            "VWFA": ("PH", "TE2p"),
            "EAC": ("A1", "LBelt", "PBelt", "MBelt", "RI", "A4"),
            "late_language": (
                *("A5", "44", "45", "IFJa", "IFSp", "PGi", "PGp", "PGs", "TPOJ1", "TPOJ2", "TPOJ3"),
                *("STGa", "STSda", "STSdp", "TA2", "STSva", "STSvp"),
            ),
        },
        citation=f"{GLASSER} Groups as in Oota, Celik, Deniz & Toneva (2024), ACL, code of speech-llm-brain.",
        how_to_get=MMP_FILES,
    ),
    "hcp_mmp_visual": RoiSet(
        MMP_AREA,
        {
            "EV": ("V1", "V2", "V3"),
            "dorsal": ("V3A", "V3B", "V6", "V6A", "V7", "IPS1"),
            "MT": ("MT", "MST", "LO1", "LO2", "FST", "V3CD"),
        },
        citation=_OOTA,
        how_to_get=MMP_FILES,
        note="The published list of numbers for MT lacks MST, which its list of names has.",
    ),
    "hcp_mmp": RoiSet(MMP_AREA, citation=GLASSER, how_to_get=MMP_FILES, note="All 180 areas, hemispheres pooled."),
    "fedorenko_language": RoiSet(
        r"(\d+)",
        {
            **{
                f"{side}H_{name}": (str(first + number),)
                for side, first in (("L", 1), ("R", 7))
                for number, name in enumerate(("IFGorb", "IFG", "MFG", "AntTemp", "PostTemp", "AngG"))
            },
            "LH_language": ("1", "2", "3", "4", "5", "6"),
            "RH_language": ("7", "8", "9", "10", "11", "12"),
        },
        citation=(
            "Fedorenko et al. (2010). New method for fMRI investigations of language. J. Neurophysiol. 104, 1177-1194; "
            "parcels of 220 people (Lipkin et al. 2022, Scientific Data 9, 529), right ones mirrored."
        ),
        how_to_get="allParcels-language-SN220.nii (2 mm, MNI) is on the page of the laboratory: evlab.mit.edu, parcels.",
        note="Parcels in which a person's own language voxels are sought; a whole parcel is larger than those.",
    ),
    "yeo7": RoiSet(
        r"(?:7Networks_)?(\d+)",
        {
            name: (str(number),)
            for number, name in enumerate(
                ("Visual", "Somatomotor", "DorsalAttention", "VentralAttention", "Limbic", "Frontoparietal", "Default"),
                start=1,
            )
        },
        citation="Yeo et al. (2011). The organization of the human cerebral cortex. J. Neurophysiol. 106, 1125-1165.",
        how_to_get="Yeo2011_7Networks files come with FreeSurfer, nilearn.datasets.fetch_atlas_yeo_2011 or CBIG.",
    ),
    "schaefer_networks": RoiSet(
        r"\d+Networks_[LR]H_([^_]+).*",
        citation="Schaefer et al. (2018). Local-global parcellation. Cerebral Cortex 28, 3095-3114.",
        how_to_get=(
            "Schaefer2018 files come with nilearn.datasets.fetch_atlas_schaefer_2018 or CBIG; of a volume give the "
            "table of names too: rois.names=FILE."
        ),
        note="Parcels pooled by network and over hemispheres; set=labels keeps every parcel.",
    ),
    "labels": RoiSet(r"(.+)", template=False, note="Every label of the file is an ROI."),
    "masks": RoiSet(
        r"(.+)", template=False, note="Every file is a mask and an ROI, called by its file name; masks may overlap."
    ),
}
