"""Making a compiled mesh cheaper to draw, in place."""

from __future__ import annotations

import mujoco
import numpy as np

FEW_FACES = 24  # a mesh with no more faces is left alone where the grid is too coarse for it


def cluster_vertices(model: mujoco.MjModel, mesh: int, grid_m: float) -> int:
    """Merge the vertices of one visual mesh that fall into the same cell of a ``grid_m`` grid.

    Faces are rewritten to one representative vertex a cell (the one nearest to the cell's mean, so normals and texture
    coordinates stay valid); faces that collapse or repeat are dropped. Only the face rows and the face count change, so
    every address in the model stays right. A mesh of which that would leave nothing is merged on a grid of half the
    cell, and so on. Returns the number of faces left.

    The method is uniform vertex clustering (Rossignac and Borrel, 1993).
    """
    first, count = int(model.mesh_vertadr[mesh]), int(model.mesh_vertnum[mesh])
    face_first, face_count = int(model.mesh_faceadr[mesh]), int(model.mesh_facenum[mesh])
    vertices = model.mesh_vert[first : first + count]
    cells = np.floor((vertices - vertices.min(axis=0)) / grid_m).astype(np.int64)
    _, cell_of = np.unique(_numbered(cells), return_inverse=True)
    size = np.bincount(cell_of)
    mean = np.stack([np.bincount(cell_of, weights=vertices[:, k]) / size for k in range(3)], axis=1)
    distance = np.linalg.norm(vertices - mean[cell_of], axis=1)
    order = np.lexsort((distance, cell_of))
    representative = order[np.searchsorted(cell_of[order], np.arange(size.size))]

    rows = slice(face_first, face_first + face_count)
    faces = representative[cell_of[model.mesh_face[rows]]]
    kept = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])
    _, unique = np.unique(_numbered(np.sort(faces, axis=1)), return_index=True)
    keep = np.flatnonzero(kept & np.isin(np.arange(face_count), unique))
    left = len(keep)
    if left < 4:  # smaller than a cell: a screw of thousands of faces, say
        return face_count if face_count <= FEW_FACES else cluster_vertices(model, mesh, grid_m / 2)
    target = slice(face_first, face_first + left)
    model.mesh_facenormal[target] = model.mesh_facenormal[rows][keep]
    model.mesh_facetexcoord[target] = model.mesh_facetexcoord[rows][keep]
    model.mesh_face[target] = faces[keep]
    model.mesh_facenum[mesh] = left
    return left


def _numbered(rows: np.ndarray) -> np.ndarray:
    """One number for each row ``(N, 3)`` of numbers from 0 on, in the order of the rows: quicker to sort than rows."""
    return np.ravel_multi_index(tuple(rows.T), tuple(rows.max(axis=0) + 1))
