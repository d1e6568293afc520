"""The scan on a Ray cluster: shards of the corpus on many workers, partial indices merged in a tree.

`scanning` is what others call. It starts `driver` as a process of its own, since Ray ends the process whose cluster has
lost its head node. Only that process imports ray.
"""
